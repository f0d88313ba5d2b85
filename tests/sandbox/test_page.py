"""The page of the sandbox, in a real browser."""

from collections.abc import AsyncIterator

import pytest

from pipecat_responses.sandbox import Answer, Call, Fault, Sandbox
from tests.support.browser import PROGRAM, Page, browsing

from .wire import connected, function_tool, post

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed"),
    pytest.mark.timeout(120),
]

HOSTILE = "<script>alert('x')</script><img src=http://example.com/x.png onerror=alert('y')>"
FAULTS = [
    ("reset", "text"),
    ("silence", "text"),
    ("stall", "text"),
    ("delay", "created"),
    ("error", "request"),
    ("error", "request"),
    ("forget", "request"),
    ("failed", "text"),
]


@pytest.fixture
async def page(sandbox: Sandbox, chromium: str) -> AsyncIterator[Page]:
    """The page; it must have asked nobody else for anything, and complained of nothing."""
    async with browsing(f"{sandbox.origin}/_sandbox/ui", chromium) as page:
        await page.until("document.querySelectorAll('#faults button').length")
        yield page
        assert page.problems == []
        assert {url for url in page.requested if not url.startswith(sandbox.origin)} == set()


def says(text: str) -> str:
    return f"document.getElementById('transcript').textContent.includes({text!r})"


def button(label: str) -> str:
    return (
        "[...document.querySelectorAll('button')]"
        f".find((each) => each.textContent.includes({label!r}))"
    )


async def test_the_transcript_grows(sandbox: Sandbox, page: Page) -> None:
    assert await page.value("document.getElementById('nothing').hidden") is False
    sandbox.script("Hello there.", Answer([Call("get_time", {"zone": "UTC"})]))
    await post(sandbox, "good morning")
    await page.until(f"{says('good morning')} && {says('Hello there.')}")
    async with connected(sandbox) as wire:
        tools = [function_tool("get_time")]
        await wire.respond("what time is it", tools=tools, stream_id="lane-1")
        await page.until("document.getElementById('state').textContent.includes('1 open')")
    await page.until(f"{says('get_time(')} && {says('lane lane-1')}")
    assert await page.value("document.querySelectorAll('#transcript > li').length") == 2
    assert await page.value("document.getElementById('nothing').hidden") is True


async def test_what_is_said_is_only_text(sandbox: Sandbox, page: Page) -> None:
    sandbox.script(HOSTILE, Answer([Call(HOSTILE, HOSTILE)]))
    await post(sandbox, HOSTILE)
    await post(sandbox, [{"role": "user", "content": [{"type": "input_text", "text": HOSTILE}]}])
    sandbox.faults.add(Fault("error", params={"code": HOSTILE}))
    await post(sandbox, "x")
    await page.until("document.querySelectorAll('#transcript > li').length === 3")
    assert await page.value(says(HOSTILE)) is True
    assert await page.value("document.querySelectorAll('#transcript :is(script, img)').length") == 0


async def test_every_button(sandbox: Sandbox, page: Page) -> None:
    labels = await page.value(
        "[...document.querySelectorAll('#faults button')].map((each) => each.textContent)"
    )
    for number, label in enumerate(labels, 1):
        await page.click(button(label))
        await page.until(f"document.querySelectorAll('#waiting li').length === {number}")
    assert [(fault.kind, fault.moment) for fault in sandbox.faults] == FAULTS
    await page.click(button("Remove all faults"))
    await page.until("document.querySelectorAll('#waiting li').length === 0")
    assert len(sandbox.faults) == 0
    async with connected(sandbox) as wire:
        await wire.respond("x")
        await page.until("document.getElementById('state').textContent.includes('1 open')")
        await page.click(button("Reset all connections"))
        await page.until("document.getElementById('state').textContent.includes('0 open')")
    await page.until("document.querySelectorAll('#transcript > li').length === 1")
    await page.click(button("Begin afresh"))
    await page.until("document.querySelectorAll('#transcript > li').length === 0")
    assert sandbox.requests == []


async def test_by_keyboard(sandbox: Sandbox, page: Page) -> None:
    await page.press("Tab")
    assert await page.value("document.activeElement.id") == "text"
    await page.type("As you like.")
    await page.press("Enter")
    await page.until("document.getElementById('state').textContent.includes('1 queued')")
    assert await page.value("document.activeElement.value") == ""
    for _ in range(2):
        await page.press("Tab")
    await page.press("Enter")
    await page.until("document.querySelectorAll('#waiting li').length === 1")
    assert [fault.kind for fault in sandbox.faults] == ["reset"]
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert await page.value(outline) != "none"


@pytest.mark.parametrize(
    ("scheme", "color"), [("light", "rgb(0, 0, 0)"), ("dark", "rgb(255, 255, 255)")]
)
async def test_light_and_dark(page: Page, scheme: str, color: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    await page.send("Emulation.setEmulatedMedia", features=features)
    assert await page.value("getComputedStyle(document.body).color") == color
