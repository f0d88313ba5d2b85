"""What the inspector answers, and to whom."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio

from pipecat_responses import Inspector, InspectorLimits
from pipecat_responses.inspector.files import FORMAT, encode_lines, head_line
from pipecat_responses.session.records import ServiceClosed
from tests.faults.support import our_tasks
from tests.inspector.support import KEY, Told


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def get(http: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, str]:
    async with http.get(
        url, headers={k.replace("_", "-"): v for k, v in headers.items()}
    ) as answer:
        return answer.status, await answer.text()


async def ask(http: aiohttp.ClientSession, url: str) -> Any:
    status, text = await get(http, url)
    assert status == 200, text
    return json.loads(text)


class TestTheGuard:
    async def test_nothing_is_there_without_the_token(self, http: aiohttp.ClientSession) -> None:
        async with Inspector(Told()) as inspector:
            origin = f"http://{urlsplit(inspector.url).netloc}"
            for path in ("/", "/x/", "/x/api/sessions", "/api/sessions", "/%ff/"):
                status, text = await get(http, origin + path)
                assert status == 404
                assert inspector.url.split("/")[3] not in text
            assert (await get(http, inspector.url))[0] == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"host": "evil.example"},
            {"host": "evil.example:80"},
            {"host": "[::1"},
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": "http://[x"},
            {"sec_fetch_site": "cross-site"},
            {"sec_fetch_site": "same-site"},
        ],
        ids=str,
    )
    async def test_other_pages_and_names_are_refused(
        self, http: aiohttp.ClientSession, headers: dict[str, str]
    ) -> None:
        async with Inspector(Told()) as inspector:
            for path in ("", "api/sessions", "app.js"):
                assert (await get(http, inspector.url + path, **headers))[0] in (400, 403)

    async def test_the_page_itself_may_ask(self, http: aiohttp.ClientSession) -> None:
        async with Inspector(Told()) as inspector:
            netloc = urlsplit(inspector.url).netloc
            status, _ = await get(
                http,
                inspector.url + "api/sessions",
                origin=f"http://{netloc}",
                sec_fetch_site="same-origin",
            )
            assert status == 200

    async def test_answers_may_not_be_used_elsewhere(self, http: aiohttp.ClientSession) -> None:
        async with Inspector(Told()) as inspector:
            for path in ("", "app.js", "api/sessions", "nothing"):
                async with http.get(inspector.url + path) as answer:
                    policy = answer.headers["content-security-policy"]
                    assert "default-src 'none'" in policy
                    assert "unsafe" not in policy
                    assert answer.headers["referrer-policy"] == "no-referrer"
                    assert answer.headers["x-content-type-options"] == "nosniff"
                    assert answer.headers["cache-control"] == "no-store"

    async def test_two_inspectors_have_two_tokens(self) -> None:
        async with Inspector() as one, Inspector() as other:
            assert urlsplit(one.url).path != urlsplit(other.url).path
            assert len(urlsplit(one.url).path) > 32


async def test_services_are_side_by_side(http: aiohttp.ClientSession) -> None:
    one, other, third = Told("one"), Told("other"), Told("third")
    async with Inspector(one, other) as inspector:
        inspector.watch(third)
        one.turn(1)
        third.turn(1)
        third.turn(2)
        sessions = (await ask(http, inspector.url + "api/sessions"))["sessions"]
        assert [each["name"] for each in sessions] == ["third", "other", "one"]
        turns = {}
        for each in sessions:
            told = await ask(http, f"{inspector.url}api/sessions/{each['key']}/marks?since=0")
            turns[each["name"]] = [e["turn"] for e in told["records"] if e["record"] == "turn"]
        assert turns == {"one": [1], "other": [], "third": [1, 2]}


async def test_asking_goes_on_where_it_was(http: aiohttp.ClientSession) -> None:
    service = Told()
    async with Inspector(service) as inspector:
        (session,) = (await ask(http, inspector.url + "api/sessions"))["sessions"]
        path = f"{inspector.url}api/sessions/{session['key']}"
        service.turn(1)
        first = await ask(http, f"{path}/marks")
        service.turn(2)
        second = await ask(http, f"{path}/marks?since={first['latest']}")
        assert [e["turn"] for e in second["records"] if e["record"] == "turn"] == [2]
        wire = (await ask(http, f"{path}/wire?since={first['latest']}"))["records"]
        assert [each["record"] for each in wire] == ["request", "event", "event", "event"]
        some = (await ask(http, f"{path}/some?seqs={wire[0]['seq']},999,x"))["records"]
        assert some[0]["message"]["input"][0]["content"] == "Hello"
        # What is no number counts as not given.
        assert (await ask(http, f"{path}/marks?since=-1"))["records"] == (
            await ask(http, f"{path}/marks?since=999999999999999999999")
        )["records"]


async def test_a_text_is_found_where_it_was_said(http: aiohttp.ClientSession) -> None:
    service = Told()
    async with Inspector(service) as inspector:
        service.turn(1, said='Book "Ängström", please')
        service.turn(2)
        (session,) = (await ask(http, inspector.url + "api/sessions"))["sessions"]
        path = f"{inspector.url}api/sessions/{session['key']}/search"
        assert (await ask(http, f'{path}?text="ÄNG'))["seqs"] == [2]
        assert (await ask(http, f"{path}?text=good+day"))["seqs"] == [4, 5, 10, 11]
        assert (await ask(http, f"{path}?text="))["seqs"] == []


async def test_without_words_nothing_is_found(http: aiohttp.ClientSession) -> None:
    service = Told()
    async with Inspector(service, words=False) as inspector:
        service.turn(1, said="secret plans")
        (session,) = (await ask(http, inspector.url + "api/sessions"))["sessions"]
        path = f"{inspector.url}api/sessions/{session['key']}"
        assert (await ask(http, f"{path}/search?text=secret"))["seqs"] == []
        for name in ("marks", "wire", "file"):
            assert "secret" not in (await get(http, f"{path}/{name}"))[1]


async def test_a_session_as_a_file(http: aiohttp.ClientSession) -> None:
    service = Told()
    async with Inspector(service) as inspector:
        service.turn(1, said=f"secret plans {KEY}")
        (session,) = (await ask(http, inspector.url + "api/sessions"))["sessions"]
        path = f"{inspector.url}api/sessions/{session['key']}/file"
        with_words = (await get(http, path))[1]
        without = (await get(http, f"{path}?words=0"))[1]
        assert KEY not in with_words
        assert "secret plans ***" in with_words
        assert "secret" not in without
        head, *lines = map(json.loads, with_words.splitlines())
        assert (head["format"], head["version"], head["words"]) == (FORMAT, 1, True)
        assert [each["seq"] for each in lines] == list(range(1, 7))
        assert json.loads(without.splitlines()[0])["words"] is False


async def test_sessions_that_have_ended_are_forgotten_first(http: aiohttp.ClientSession) -> None:
    async with Inspector(limits=InspectorLimits(sessions=2)) as inspector:
        services = [Told(f"{number}") for number in range(4)]
        for number, service in enumerate(services):
            inspector.watch(service)
            if number in (1, 2):
                tell = service.trace.tell
                assert tell is not None
                tell(ServiceClosed())
        sessions = (await ask(http, inspector.url + "api/sessions"))["sessions"]
        assert [each["name"] for each in sessions] == ["3", "0"]
        assert services[1].trace.tell is None
        gone = await get(http, f"{inspector.url}api/sessions/2/marks")
        assert gone[0] == 404


async def test_nothing_remains() -> None:
    service = Told()
    inspector = Inspector(service)
    await inspector.start()
    url = inspector.url
    await inspector.stop()
    await inspector.stop()
    assert service.trace.tell is None
    assert our_tasks() == []
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(url)


async def test_a_port_that_is_taken_is_said() -> None:
    async with Inspector() as inspector:
        port = urlsplit(inspector.url).port
        assert port is not None
        with pytest.raises(OSError, match="address already in use"):
            await Inspector(port=port).start()


async def test_a_file_that_is_gone_is_said(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    file = tmp_path / "call.jsonl"
    header = {"name": "llm", "started": 0.0, "words": True}
    line = {"seq": 1, "at": 0.5, "record": "turn", "turn": 1, "messages": 1, "items": 1}
    file.write_bytes(head_line(header, words=True) + encode_lines([line]))
    inspector = Inspector()
    inspector.open(file)
    async with inspector:
        (session,) = (await ask(http, inspector.url + "api/sessions"))["sessions"]
        marks = f"{inspector.url}api/sessions/{session['key']}/marks"
        assert (await ask(http, marks))["records"] == [line]
        file.unlink()
        status, text = await get(http, marks)
        assert status == 410
        assert "cannot be read any more" in text
