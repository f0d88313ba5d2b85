"""A call from a real browser: Chromium, whose microphone is a sound file, and whose ear is real."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from examples.voice.calls import MOST
from examples.voice.tts import SAMPLE_RATE, synthesizer

from pipecat_responses.sandbox import Fault, Sandbox
from tests.support.browser import PROGRAM, Page, browsing, running

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed"),
    pytest.mark.long_calls,
    pytest.mark.timeout(180),
]

PATIENCE = 60.0
"""Seconds to wait for anything on the page: a call has pauses in which nothing changes there."""

STATISTICS = "call.pc.getStats().then((all) => [...all.values()])"
"""Those of the call, in the page."""

REFUSED = {"status": 401, "type": "invalid_request_error", "code": "invalid_api_key"}


@dataclass
class Server:
    """The server, in a process of its own."""

    process: asyncio.subprocess.Process
    address: str

    async def interrupt(self) -> tuple[int | None, str]:
        """Presses Ctrl-C.

        Returns:
            The exit status, and what was written to stderr.
        """
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            _, err = await self.process.communicate()
        return self.process.returncode, err.decode()


@asynccontextmanager
async def serving(**variables: str) -> AsyncIterator[Server]:
    """Starts the server, and waits until it tells its address."""
    environment = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "examples.voice", "--port", "0"),
        cwd=ROOT,
        env={**environment, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    address = None
    async for line in process.stdout:
        if address := re.search(rb"^Open (\S+)", line):
            break
    if address is None:
        raise AssertionError((await process.communicate())[1].decode())
    server = Server(process, address[1].decode())
    try:
        yield server
    finally:
        if process.returncode is None:
            await server.interrupt()


def sound(path: Path, *said: str | float) -> Path:
    """Writes a sound file of sentences, and of silences in seconds between them."""
    pieces = [
        bytes(int(each * SAMPLE_RATE) * 2)
        if isinstance(each, (int, float))
        else synthesizer().speak(each).audio
        for each in said
    ]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(b"".join(pieces))
    return path


class Caller:
    """The page in a browser, and who looks at it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def press(self) -> None:
        """Presses the button that calls, or hangs up."""
        await self.page.click("document.querySelector('#call')")

    async def sees(self, selector: str, text: str) -> None:
        """Waits until something on the page contains a text, in capitals or not."""
        await self.page.until(
            f"[...document.querySelectorAll({json.dumps(selector)})].some("
            f"(one) => one.innerText.toLowerCase().includes({json.dumps(text.lower())}))",
            PATIENCE,
        )

    async def text(self, selector: str) -> str:
        """What something on the page says."""
        text: str = await self.page.value(
            f"document.querySelector({json.dumps(selector)}).innerText"
        )
        return text

    async def lines(self, kind: str) -> list[str]:
        """What the page shows of what was said, by ``bot``, ``you`` or a ``tool``."""
        lines: list[str] = await self.page.value(
            f"[...document.querySelectorAll('#transcript .{kind} .said')]"
            ".map((one) => one.innerText)"
        )
        return lines


Open = Callable[..., Awaitable[Caller]]


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens pages; each call starts a browser, whose microphone hears a file."""
    async with AsyncExitStack() as browsers:
        opened = 0

        async def open_page(
            address: str, *said: str | float, microphone: bool = True, setting: str = "granted"
        ) -> Caller:
            nonlocal opened
            opened += 1
            flags = ["--autoplay-policy=no-user-gesture-required"]
            if microphone:
                heard = sound(tmp_path / f"{opened}.wav", *(said or (1.0,)))
                flags += [
                    "--use-fake-device-for-media-stream",
                    f"--use-file-for-fake-audio-capture={heard}%noloop",
                ]
            chromium = browsers.enter_context(running(tmp_path / f"browser-{opened}", *flags))
            page = await browsers.enter_async_context(browsing(address, chromium))
            await page.allow("microphone", setting)
            await page.size(900, 700)
            return Caller(page)

        yield open_page


async def test_a_call_is_held_and_the_bot_can_be_interrupted(browser: Open) -> None:
    async with serving() as server:
        call = await browser(
            server.address,
            9.0,
            "What time is it?",
            11.0,
            "Please tell me a story.",
            11.0,
            "What time is it now?",
            20.0,
        )
        await call.sees("#about", "the sandbox on this machine")
        await call.press()
        await call.sees("#transcript .bot", "Hello! I can tell the time")
        await call.sees("#transcript .you", "what time is it")
        await call.sees("#transcript .tool", "current_time() →")
        await call.sees("#transcript .you", "tell me a story")
        await call.sees("#transcript .bot", "Once upon a time")
        await call.sees("#transcript .bot .note", "interrupted")
        await call.sees("#transcript .you", "what time is it now")
        await call.page.until(
            "document.querySelectorAll('#transcript .tool').length === 2", PATIENCE
        )

        assert (
            await call.page.value(
                "[...document.querySelectorAll('.note')]"
                ".filter((one) => one.innerText.includes('interrupted')).length"
            )
            == 1
        )
        (story,) = [text for text in await call.lines("bot") if "Once" in text]
        assert not story.endswith("how it had got there.")
        statistics = await call.page.value(STATISTICS)
        (heard,) = [each for each in statistics if each["type"] == "inbound-rtp"]
        assert heard["totalAudioEnergy"] > 0
        candidates = [each for each in statistics if each["type"].endswith("-candidate")]
        assert {each["candidateType"] for each in candidates} <= {"host", "prflx"}

        await call.press()
        await call.sees("#status", "Not in a call.")
        assert await call.text("#problem") == ""
        assert {urlsplit(each).hostname for each in call.page.requested} == {"localhost"}
        assert call.page.problems == []


async def test_a_microphone_that_is_refused_is_a_sentence(browser: Open) -> None:
    async with serving() as server:
        call = await browser(server.address, setting="denied")
        await call.press()
        await call.sees("#problem", "The microphone was refused")
        assert await call.text("#call") == "Call"
        assert call.page.problems == []


async def test_no_microphone_is_a_sentence(browser: Open) -> None:
    async with serving() as server:
        call = await browser(server.address, microphone=False)
        await call.press()
        await call.sees("#problem", "There is no microphone: plug one in, then call again.")


async def test_a_model_that_cannot_be_used_any_more_ends_the_call(browser: Open) -> None:
    async with (
        Sandbox() as sandbox,
        serving(OPENAI_API_KEY="sk-any", OPENAI_BASE_URL=sandbox.base_url) as server,
    ):
        call = await browser(server.address, 9.0, "What time is it?", 20.0)
        sandbox.faults.add(Fault("error", "request", times=9, params=REFUSED))
        await call.press()
        await call.sees("#transcript .bot", "Hello!")
        await call.sees("#problem", "refuses the API key: set OPENAI_API_KEY to one that is valid.")
        await call.sees("#status", "Not in a call.")


async def test_a_key_that_is_refused_by_now_is_a_sentence(browser: Open) -> None:
    async with (
        Sandbox() as sandbox,
        serving(OPENAI_API_KEY="sk-any", OPENAI_BASE_URL=sandbox.base_url) as server,
    ):
        call = await browser(server.address)
        refused = Fault("handshake_status", "handshake", times=9, params={"status": 401})
        sandbox.faults.add(refused)
        await call.press()
        await call.sees("#problem", "refuses the API key: set OPENAI_API_KEY to one that is valid.")
        await call.sees("#status", "Not in a call.")


async def test_when_all_lines_are_taken_the_next_caller_is_told(browser: Open) -> None:
    async with serving() as server:
        *calls, last = [await browser(server.address) for _ in range(MOST + 1)]
        for call in calls:
            await call.press()
            await call.sees("#transcript .bot", "Hello!")
        await last.press()
        await last.sees("#problem", "All lines are taken")
        await calls[0].press()
        await calls[0].sees("#status", "Not in a call.")
        # The server hears of that a moment later.
        while "All lines" in await last.text("#problem"):
            await last.press()
            await last.page.until("problem.textContent || transcript.textContent", PATIENCE)
        await last.sees("#transcript .bot", "Hello!")


async def test_ctrl_c_ends_a_call_and_the_page_says_so(browser: Open) -> None:
    async with serving() as server:
        call = await browser(server.address)
        await call.page.value("document.querySelector('#call').focus()")
        await call.page.press("Enter")
        await call.sees("#transcript .bot", "Hello!")
        assert await server.interrupt() == (0, "")
        await call.sees("#problem", "The bot has hung up.")
        await call.press()
        await call.sees("#problem", "The server does not answer")


async def test_a_server_that_is_killed_is_a_sentence(browser: Open) -> None:
    async with serving() as server:
        call = await browser(server.address)
        await call.press()
        await call.sees("#transcript .bot", "Hello!")
        server.process.kill()
        await server.process.communicate()
        await call.sees("#problem", "The connection to the bot was lost.")
