"""The page in a browser: what people see and do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pipecat_responses import Inspector
from pipecat_responses.inspector.files import encode_lines, head_line
from pipecat_responses.protocol.names import ErrorName
from pipecat_responses.sandbox import Fault, Sandbox
from pipecat_responses.session.records import ErrorReported, TurnBegan, TurnEnded
from tests.faults.support import Talk, new_service
from tests.inspector import bad_call
from tests.inspector.support import Told
from tests.support.browser import PROGRAM, Page, browsing

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")

PATIENT = {"quiet_secs": 5.0, "begin_secs": 5.0, "stall_secs": 5.0}
BOT = "document.querySelector('#turn-{} .bot')?.textContent"
HOSTILE = '<img src=x onerror="window.pwned = 1"><script>window.pwned = 1</script>'


def service(sandbox: Sandbox, **kwargs: Any) -> Any:
    return new_service(sandbox, "websocket", limits=PATIENT, **kwargs)


async def turns(page: Page, count: int) -> None:
    await page.until(f"document.querySelectorAll('#list .turn').length === {count}")


async def shown(page: Page) -> list[str]:
    numbers: list[str] = await page.value(
        "[...document.querySelectorAll('#list .turn .number')].map(e => e.textContent)"
    )
    return sorted(numbers, key=int)


async def sees(page: Page, text: str, where: str = "body") -> None:
    sought = json.dumps(text)
    await page.until(f"document.querySelector({json.dumps(where)})?.innerText.includes({sought})")


async def choose(page: Page, selector: str, value: str) -> None:
    await page.value(
        f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
        f" e.value = {json.dumps(value)}; e.dispatchEvent(new Event('change')); }})()"
    )


def check(page: Page, inspector: Inspector) -> None:
    """Nothing was wrong, and nothing came from elsewhere."""
    assert page.problems == []
    assert all(each.startswith((inspector.url, "blob:")) for each in page.requested)


async def test_a_turn_is_drawn_as_it_happens(sandbox: Sandbox, chromium: str) -> None:
    sandbox.config.tokens_per_second = 30
    llm = service(sandbox)
    async with (
        Inspector(llm) as inspector,
        Talk(llm) as talk,
        browsing(inspector.url, chromium) as page,
    ):
        await sees(page, "Nothing has happened yet.")
        await talk.start("count to 200")
        await talk.text_arrives()
        await page.until("document.querySelector('#rows .bar.whole.running')")
        await page.until("document.querySelector('#list .badge.running')")
        await page.until("document.querySelector('#rows .lane .bar.running')")
        await talk.interrupt()
        await talk.settle()
        await page.until("document.querySelector('#list .badge.interrupted')")
        await page.until("document.querySelector('#rows .lane .bar.abandoned .rest')")
        await page.click("document.querySelector('#turn-1')")
        await sees(page, "interrupted", "#detail")
        await sees(page, "full: first", "#detail")
        check(page, inspector)


async def test_a_turn_opens_to_its_items_and_its_wire(sandbox: Sandbox, chromium: str) -> None:
    llm = service(sandbox)
    async with (
        Inspector(llm) as inspector,
        Talk(llm) as talk,
        browsing(inspector.url, chromium) as page,
    ):
        sandbox.faults.add(Fault("reset", "text", after=3))
        await talk.turn("count to 20")
        await page.until("document.querySelector('#list .badge.again')")
        await page.click("document.querySelector('#turn-1')")
        await sees(page, "asks for the rest of the answer", "#detail")
        await page.until("document.querySelector('#rows .bar.line.lost')")
        await page.click("document.querySelector('[data-tab=items]')")
        await sees(page, "count to 20", "#detail")
        await sees(page, "A technical fault cut your last message off.", "#detail")
        await page.click("document.querySelector('[data-tab=wire]')")
        await sees(page, "response.create", "#detail .wire")
        await sees(page, '"input"', "#detail .json")
        before = await page.value("document.querySelector('#detail .json').textContent")
        await page.value("document.querySelector('#detail .wire').focus()")
        await page.press("ArrowDown")
        await page.until(
            "document.querySelector('#detail .json')?.textContent !== " + json.dumps(before)
        )
        await page.click("document.querySelector('#connections')")
        await sees(page, "What the server can do", "#detail")
        assert await page.value("document.querySelectorAll('#detail tbody tr').length") == 2
        check(page, inspector)


async def test_where_a_full_turn_differs(sandbox: Sandbox, chromium: str) -> None:
    llm = service(sandbox)
    async with (
        Inspector(llm) as inspector,
        Talk(llm) as talk,
        browsing(inspector.url, chromium) as page,
    ):
        await talk.turn("count to 2")
        first: Any = talk.context.get_messages()[0]
        first["content"] = "count to 4"
        await talk.turn("count to 3")
        await turns(page, 2)
        await page.click("document.querySelector('#turn-2')")
        await sees(page, "The first message that differs (message 1 of 3)", "#detail")
        sides = await page.value(
            "[...document.querySelectorAll('.sides pre')].map(e => e.textContent)"
        )
        assert [json.loads(each)["content"] for each in sides] == ["count to 2", "count to 4"]
        check(page, inspector)


async def test_filters_search_and_pause(chromium: str) -> None:
    told = Told()
    async with Inspector(told) as inspector, browsing(inspector.url, chromium) as page:
        told.turn(1, said="Where is my parcel?")
        told.turn(2, answer="It is in Lyon.")
        told.turn(3)
        await turns(page, 3)
        await page.press("/")
        await page.type("parcel")
        await turns(page, 1)
        assert await shown(page) == ["1"]
        await sees(page, "Where is my parcel?", "#list")
        await page.value("document.querySelector('#search').select()")
        await page.type("in lyon")
        await page.until("document.querySelector('#turn-2') && !document.querySelector('#turn-1')")
        await page.value("document.querySelector('#search').select()")
        await page.type("nowhere at all")
        await sees(page, "No turn is like that.")
        await page.value("document.querySelector('#search').select()")
        await page.press("Escape")
        await page.value(
            "(() => { const e = document.querySelector('#search'); e.value = '';"
            " e.dispatchEvent(new Event('input')); })()"
        )
        await turns(page, 3)
        await choose(page, "#filter", "wrong")
        await turns(page, 0)
        await choose(page, "#filter", "all")
        await turns(page, 3)

        await page.click("document.querySelector('#pause')")
        await page.until("document.querySelector('#state')?.textContent.includes('paused')")
        told.turn(4)
        # The page has heard of it, and shows it only when it is to go on.
        seen = len(page.requested)
        await asyncio.wait_for(_until(lambda: len(page.requested) > seen + 3), 10)
        assert await shown(page) == ["1", "2", "3"]
        await page.click("document.querySelector('#pause')")
        await turns(page, 4)
        check(page, inspector)


async def _until(condition: Any) -> None:
    while not condition():  # noqa: ASYNC110 - a browser tells nobody
        await asyncio.sleep(0.02)


async def test_a_file_is_opened_and_hostile_text_stays_text(tmp_path: Path, chromium: str) -> None:
    file = tmp_path / "call.jsonl"
    told = Told(HOSTILE)
    async with Inspector(told) as inspector, browsing(inspector.url, chromium) as page:
        told.turn(1, said=HOSTILE, answer=HOSTILE)
        (session,) = inspector._sessions()
        lines = [line for later in session.whole(words=True) for line in later()]
        file.write_bytes(head_line(session.header(), words=True) + encode_lines(lines))
        broken = tmp_path / "broken.jsonl"
        broken.write_text("hello\n")
        await turns(page, 1)
        await page.give_file("#file", broken)
        await page.until("!document.querySelector('#problem')?.hidden")
        await page.give_file("#file", file)
        await page.until("document.querySelector('#session')?.value === 'opened-call.jsonl'")
        await page.until("document.querySelector('#problem')?.hidden")
        await sees(page, HOSTILE, "#list")
        await page.click("document.querySelector('#turn-1')")
        for tab in ("items", "wire", "overview"):
            await page.click(f"document.querySelector('[data-tab={tab}]')")
            await page.until(f"document.querySelector('[data-tab={tab}][aria-selected=true]')")
        await page.click("document.querySelector('[data-tab=items]')")
        await sees(page, HOSTILE, "#detail")
        assert await page.value("window.pwned") is None
        assert await page.value("document.querySelectorAll('img, body script').length") == 0
        await choose(page, "#filter", "slow")
        await turns(page, 0)
        check(page, inspector)


async def test_a_session_is_saved_from_the_page(chromium: str) -> None:
    told = Told()
    async with Inspector(told) as inspector, browsing(inspector.url, chromium) as page:
        told.turn(1, said="secret plans")
        await turns(page, 1)
        await page.value(
            "HTMLAnchorElement.prototype.click = function () { window.named = this.download; };"
            " URL.createObjectURL = (blob) => { window.saved = blob; return 'blob:x'; };"
        )
        for words in (True, False):
            await page.value("window.saved = null")
            if not words:
                await page.click("document.querySelector('#words')")
            await page.click("document.querySelector('#export')")
            # It tells by nothing that changes in the page.
            async with asyncio.timeout(20):
                while not (text := await page.value("window.saved && window.saved.text()")):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert ("secret plans" in text) is words
            assert json.loads(text.splitlines()[0])["words"] is words
        assert await page.value("window.named") == "told.jsonl"
        check(page, inspector)


async def test_all_of_it_can_be_done_with_keys(chromium: str) -> None:
    told = Told()
    async with Inspector(told) as inspector, browsing(inspector.url, chromium) as page:
        for number in range(1, 31):
            told.turn(number)
        await page.until("document.querySelector('#turn-30')")
        await page.value("document.querySelector('#list').focus()")

        async def chosen(number: int) -> None:
            await page.until(f"document.querySelector('#turn-{number}[aria-selected=true]')")

        await page.press("ArrowDown")
        await chosen(30)
        await page.press("ArrowDown", "ArrowDown", "ArrowUp")
        await chosen(29)
        assert (
            await page.value(
                "document.querySelector('#list').getAttribute('aria-activedescendant')"
            )
            == "turn-29"
        )
        await page.press("End")
        await chosen(1)
        await sees(page, "Turn 1", "#detail h2")
        await page.value("document.querySelector('#detail [role=tab]').focus()")
        await page.press("ArrowRight")
        await page.until("document.activeElement.dataset.tab === 'items'")
        await page.value("document.querySelector('#timeline').focus()")
        await page.press("+")
        await sees(page, "20 s", "#span")
        await page.press("-", "-")
        await sees(page, "1 min", "#span")
        await page.press("ArrowLeft")
        await page.until("document.querySelector('#follow[aria-pressed=false]')")
        await page.press("End")
        await page.until("document.querySelector('#follow[aria-pressed=true]')")
        await page.press("p")
        await sees(page, "Go on", "#pause")
        check(page, inspector)


async def test_hours_of_turns_do_not_make_the_page_grow(chromium: str) -> None:
    told = Told()
    async with Inspector(told) as inspector, browsing(inspector.url, chromium) as page:
        for number in range(1, 2001):
            told.turn(number)
        await page.until("document.querySelector('#turn-2000')")
        count = "document.querySelectorAll('#list .turn').length"
        assert await page.value(count) < 60
        await page.value("document.querySelector('#list').scrollTop = 44 * 1000")
        await page.until("document.querySelector('#turn-1000')")
        assert await page.value(count) < 60
        assert not await page.value("Boolean(document.querySelector('#turn-2000'))")
        before = await page.value("document.querySelectorAll('#turns *, #detail *').length")
        for number in range(2001, 2401):
            told.turn(number)
        await page.until("document.querySelector('#summary')?.textContent.includes('2400 turns')")
        after = await page.value("document.querySelectorAll('#turns *, #detail *').length")
        assert abs(after - before) < 60
        check(page, inspector)


async def test_it_fits_into_narrow_windows_and_the_dark(chromium: str) -> None:
    told = Told()
    async with Inspector(told) as inspector, browsing(inspector.url, chromium) as page:
        told.turn(1)
        await turns(page, 1)
        await page.click("document.querySelector('#turn-1')")
        for width in (1600, 1000, 700):
            await page.size(width, 800)
            wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            assert await page.value(wide), width
        colours = set()
        for scheme in ("light", "dark"):
            await page.scheme(scheme)
            colours.add(await page.value("getComputedStyle(document.body).backgroundColor"))
        assert len(colours) == 2


async def test_a_bad_call_explains_itself(tmp_path: Path, chromium: str) -> None:
    inspector = Inspector()
    inspector.open(await bad_call.record(tmp_path / "calls", slow_secs=2.0))
    async with inspector, browsing(inspector.url, chromium) as page:
        await page.size(1280, 900)
        await turns(page, 10)
        # What was out of the ordinary stands there before anybody does anything.
        for text in (
            "10 turns in",
            "5 turns with something out of the ordinary, 3 of them with something wrong.",
            "The turn was interrupted",
            "but the server went on to its end (response.completed)",
            "broke off: it was reset by the other side (connection c1).",
            "If it comes often: look for a proxy",
            "The turn asks for the rest of the answer on connection c2.",
            "After “… come by tram, get” nothing new came for",
            "the application has changed message 1 after the model had seen it",
            "s to begin, where 0.50 s or less is usual.",
        ):
            await sees(page, text, "#detail")
        marked = "[...document.querySelectorAll('#detail mark')].map(e => e.textContent)"
        assert await page.value(marked) == ['ten."', "regular", 'eleven."']
        # The list says of each how bad it is, and what the caller heard of what was cut.
        badges = "[...document.querySelectorAll('#turn-{} .{}')].map(e => e.textContent)"
        for number, severity, names in (
            (1, "fine", ["full: first"]),
            (4, "odd", ["interrupted"]),
            (6, "bad", ["↻ broke off, resumed"]),
            (7, "odd", ["full: resumed"]),
            (8, "bad", ["full: context changed"]),
            (9, "bad", ["server slow"]),
        ):
            assert await page.value(badges.format(number, severity)) == names
        await page.until("/^We have three menus[^/]* …$/.test(" + BOT.format(4) + ")")
        assert "figs" not in await page.value(BOT.format(4))
        for filtered, numbers in (("wrong", ["6", "8", "9"]), ("slow", ["9"]), ("all", None)):
            await choose(page, "#filter", filtered)
            assert numbers is None or await shown(page) == numbers
        for control in ("pause", "follow"):
            assert await page.value(f"document.querySelector('#{control}').hidden")
        of = "[...document.querySelectorAll('#detail .of')].find(e => e.textContent.includes('{}'))"
        await page.click(of.format("Turn 4"))
        await sees(page, "Crossed out is what the caller has not heard", "#detail")
        await sees(page, "We have three menus.", "#detail .talk")
        assert "bream" in await page.value("document.querySelector('#detail .talk s').innerText")
        await page.click("document.querySelector('[data-tab=items]')")
        await sees(page, "The server went on to its end (response.completed)", "#detail")
        await sees(page, "In italics: came after the interruption", "#detail")
        put_out = "[...document.querySelectorAll('.item.assistant p')].at(-1).{}.textContent"
        assert "bream" in await page.value(put_out.format("querySelector('s')"))
        assert "no meat at all" in await page.value(put_out.format("querySelector('i')"))
        await page.click("document.querySelector('[data-tab=wire]')")
        await sees(page, "c1 lane-4", "#detail .wire")
        await page.value("document.querySelector('#detail .wire').scrollTop = 22 * 22")
        await sees(page, "interrupted, or not needed any more", "#detail .wire")
        await page.click("document.querySelector('[data-tab=overview]')")
        for number, text in (
            (
                6,
                "and we are on your left.\n\nThe caller has heard all of it.",
            ),
            (6, "in 2 requests"),
            (6, "their text, which was put out"),
            (6, "output tokens of the last attempt"),
            (8, "the kitchen closes at eleven"),
            (9, "s to begin, where 0.50 s or less is usual."),
            (2, 'The model called free_tables({"day": "Friday", "guests": 4}), which took'),
            (10, "No later turn tells how much of it the caller has heard."),
        ):
            await page.value(f"document.querySelector('#turn-{number}').click()")
            await sees(page, text, "#detail")
        await page.value("document.querySelector('#turn-6').click()")
        await page.until("document.querySelector('#detail .talk .seam')")
        before = "document.querySelector('#detail .seam').previousSibling.textContent"
        assert (await page.value(before)).endswith("tram, get")
        assert await page.value("Boolean(document.querySelector('#rows .chosen'))")
        await page.click("document.querySelector('[data-tab=items]')")
        await sees(page, "It broke off here: The connection to the server", "#detail")
        await page.press("o")
        await sees(page, "How the call went", "#detail")
        assert not await page.value("Boolean(document.querySelector('#rows .chosen'))")
        await page.click("document.querySelector('#connections')")
        await sees(page, "it was reset by the other side", "#detail table")
        await sees(page, "closed by this side, with the service", "#detail table")
        await page.press("?")
        await sees(page, "A request that goes on from an answer on another lane.", "#detail")
        check(page, inspector)


async def test_a_turn_that_never_left(chromium: str) -> None:
    service = Told()
    async with (
        Inspector(service) as inspector,
        browsing(inspector.url, chromium) as page,
    ):
        service.turn(1)
        await turns(page, 1)
        await sees(page, "Nothing out of the ordinary.", "#detail")
        tell = service.trace.tell
        assert tell is not None
        tell(TurnBegan(2, 7, 0))
        tell(TurnEnded(2, "failed", None))
        tell(ErrorReported(TypeError("a set is no text"), ErrorName.CONTEXT_MESSAGE))
        await turns(page, 2)
        await sees(page, "The turn failed before anything was sent: TypeError: a set", "#detail")
        await sees(page, "cannot be sent", "#detail .means")
        check(page, inspector)
