"""The web server and the calls, without a browser: its other end is aiortc's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection
from examples.voice.calls import Calls
from examples.voice.server import LARGEST, application
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection


class Line:
    """A server whose bot only holds the line."""

    def __init__(self, most: int = 1) -> None:
        self.calls = Calls(self._hold, most)
        self.ended = 0
        self.broken = False
        self.release = asyncio.Event()

    async def _hold(self, connection: SmallWebRTCConnection, listening: asyncio.Event) -> None:
        try:
            if self.broken:
                raise RuntimeError("No voice")
            listening.set()
            await self.release.wait()
        finally:
            self.ended += 1

    async def __aenter__(self) -> Line:
        self._runner = web.AppRunner(application(self.calls, "about it", "127.0.0.1"))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.session = aiohttp.ClientSession(self.url)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        await self.calls.close()
        await self._runner.cleanup()

    async def all_over(self) -> None:
        """Waits until there is no call."""
        await asyncio.gather(*self.calls._tasks, return_exceptions=True)

    async def call(self, body: object, **headers: str) -> tuple[int, dict[str, str]]:
        async with self.session.post("/calls", json=body, headers=headers) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def offer() -> AsyncIterator[str]:
    """The offer of a caller, as a browser makes it."""
    caller = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    caller.addTransceiver("audio")
    caller.createDataChannel("rtvi")
    await caller.setLocalDescription(await caller.createOffer())
    yield caller.localDescription.sdp
    await caller.close()


async def test_a_call_is_answered_with_addresses_of_this_machine_only(offer: str) -> None:
    async with Line() as line:
        status, told = await line.call({"sdp": offer})
        assert status == 200
        candidates = [each for each in told["sdp"].splitlines() if each.startswith("a=candidate")]
        assert candidates
        assert all(each.split()[7] == "host" for each in candidates)


async def test_a_call_too_many_is_refused_until_another_ends(offer: str) -> None:
    async with Line() as line:
        assert (await line.call({"sdp": offer}))[0] == 200
        assert await line.call({"sdp": offer}) == (
            503,
            {"problem": "All lines are taken: try again when another call has ended."},
        )
        line.release.set()
        await line.all_over()
        line.release.clear()
        assert (await line.call({"sdp": offer}))[0] == 200


async def test_calls_end_with_the_server(offer: str) -> None:
    async with Line(most=2) as line:
        await line.call({"sdp": offer})
        await line.call({"sdp": offer})
        assert len(line.calls) == 2
    assert line.ended == 2
    assert len(line.calls) == 0


@pytest.mark.parametrize("body", [{"sdp": "nonsense"}, {"sdp": 3}, {}, [], None])
async def test_what_is_no_offer_is_refused_and_takes_no_line(body: object) -> None:
    async with Line() as line:
        status, told = await line.call(body)
        assert status == 400
        assert "cannot be answered" in told["problem"]
        await line.all_over()


async def test_a_bot_that_fails_takes_no_line(offer: str) -> None:
    async with Line() as line:
        line.broken = True
        status, told = await line.call({"sdp": offer})
        assert status == 400
        assert "the bot has failed" in told["problem"]
        await line.all_over()
        line.broken = False
        assert (await line.call({"sdp": offer}))[0] == 200


async def test_pages_of_others_call_nobody(offer: str) -> None:
    async with Line() as line:
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            status, _ = await line.call({"sdp": offer}, **headers)
            assert (status, len(line.calls)) == (403, 0)
        assert (await line.call({"sdp": offer}, Origin=line.url))[0] == 200


async def test_an_offer_is_of_bounded_size() -> None:
    async with Line() as line, line.session.post("/calls", data=b" " * (LARGEST + 1)) as answer:
        assert answer.status == 413


async def test_the_page_may_talk_to_its_server_only() -> None:
    async with Line() as line, line.session.get("/") as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "connect-src 'self'" in policy
        text = await answer.text()
        assert "http://" not in text
        assert "https://" not in text
