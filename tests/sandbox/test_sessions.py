"""Sandboxes of their own behind one port, and who may talk to it."""

import asyncio
import json
import re
from importlib.resources import files
from typing import Any

import aiohttp
import pytest
import websockets

from pipecat_responses.sandbox import BackgroundSandbox, Fault, Sandbox
from pipecat_responses.sandbox.guard import is_loopback

from .test_stubs import Control, said
from .wire import connected, post, text_of


async def test_sessions_share_nothing(sandbox: Sandbox) -> None:
    sandbox.config.lanes = "rejected"
    one, two = sandbox.session("one"), sandbox.session("two")
    assert one is sandbox.session("one") is two.session("one")
    assert one.base_url == f"{sandbox.origin}/s/one/v1"
    two.config.lanes = "supported"
    one.script("One.")
    two.script("Two.")
    one.faults.add(Fault("error", times=1, skip=1))
    assert [await said(one, "x"), await said(two, "x")] == ["One.", "Two."]
    assert (await post(two, "x"))[0] == 200
    assert (await post(sandbox, "x"))[0] == 200
    assert (await post(one, "x"))[0] == 500
    assert [len(each.requests) for each in (sandbox, one, two)] == [1, 2, 2]
    assert (one.config.lanes, two.config.lanes) == ("rejected", "supported")


async def test_websockets_of_sessions(sandbox: Sandbox) -> None:
    one = sandbox.session("one")
    one.when("x").say("One.")
    async with connected(sandbox) as wire, connected(one) as inner:
        assert text_of(await inner.respond("x")) == "One."
        assert "You said" in text_of(await wire.respond("x"))
        assert (sandbox.connections, one.connections) == (1, 1)
        assert one.cut() == 1
        with pytest.raises(websockets.ConnectionClosed):
            await inner.event()
        assert "You said" in text_of(await wire.respond("x"))


async def test_by_header_and_over_http(sandbox: Sandbox) -> None:
    control = Control(sandbox.origin)
    named = {"x-sandbox-session": "a"}
    assert (await control("POST", "/_sandbox/script", "A.", **named))[1] == {"scripted": 1}
    headers = {"authorization": "Bearer k", **named}
    body = {"model": "gpt-4.1", "input": "x"}
    _, response = await control("POST", "/v1/responses", body, **headers)
    assert text_of(response) == "A."
    _, told = await control("GET", "/s/a/_sandbox/requests")
    assert [each["body"]["input"] for each in told["requests"]] == ["x"]
    assert sandbox.requests == []
    assert (await control("GET", "/_sandbox/sessions"))[1] == {
        "a": {"requests": 1, "connections": 0}
    }
    assert (await control("DELETE", "/_sandbox/sessions/a"))[0] == 200
    assert (await control("DELETE", "/_sandbox/sessions/a"))[0] == 404
    assert (await control("GET", "/s/a%20b/_sandbox"))[0] == 400
    assert (await control("GET", "/s/a/v1/nothing", **headers))[0] == 404
    with pytest.raises(ValueError, match="no name for a session"):
        sandbox.session("a/b")


async def test_the_oldest_session_goes(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipecat_responses.sandbox.sessions.MOST", 2)
    async with connected(sandbox.session("busy")):
        for name in ("a", "b", "c"):
            sandbox.session(name)
        assert [each.name for each in sandbox.sessions] == ["busy", "c"]


async def test_sessions_of_a_sandbox_in_the_background() -> None:
    with BackgroundSandbox() as sandbox:
        one = sandbox.session("one")
        async with connected(one) as wire:
            one.faults.add(Fault("reset", "idle"))
            with pytest.raises(websockets.ConnectionClosed):
                await wire.event()


class TestGuard:
    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("127.0.0.1", 200),
            ("localhost:80", 200),
            ("[::1]:8765", 200),
            ("app.localhost", 200),
            ("evil.example", 403),
            ("evil.example:8765", 403),
            ("127.0.0.1.evil.example", 403),
            ("[", 403),
        ],
    )
    async def test_names(self, sandbox: Sandbox, host: str, status: int) -> None:
        control = Control(sandbox.origin)
        assert (await control("GET", "/_sandbox", host=host))[0] == status
        assert (await control("GET", "/v1/models", host=host, authorization="Bearer k"))[
            0
        ] == status
        assert sandbox.handshakes == []

    async def test_origins(self, sandbox: Sandbox) -> None:
        control = Control(sandbox.origin)
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://["):
            assert (await control("POST", "/_sandbox/cut", origin=origin))[0] == 403
            with pytest.raises(websockets.InvalidStatus, match="403"):
                async with connected(sandbox, origin=origin):
                    pass
        assert (await control("POST", "/_sandbox/cut", origin=sandbox.origin))[0] == 200
        async with connected(sandbox, origin=sandbox.origin) as wire:
            await wire.respond("x")

    async def test_elsewhere_than_on_loopback(self) -> None:
        async with Sandbox(host="0.0.0.0", token="s3cret") as sandbox:
            control = Control(f"http://127.0.0.1:{sandbox.port}")
            assert await control("GET", "/health", host="anything.example") == (
                200,
                {"status": "ok"},
            )
            assert (await control("GET", "/_sandbox"))[0] == 401
            assert (await control("GET", "/s/a/_sandbox"))[0] == 401
            assert (await control("GET", "/_sandbox", authorization="Bearer other"))[0] == 401
            assert (await control("GET", "/_sandbox", **{"x-sandbox-token": "s3cret"}))[0] == 200
            _, state = await control("GET", "/_sandbox", authorization="Bearer s3cret")
            assert "cret" not in json.dumps(state)
            for path in ("/v1/models", "/s/b/v1/models"):
                assert (await control("GET", path, authorization="Bearer other"))[0] == 401
            assert list(sandbox.sessions) == []
            assert (await control("GET", "/s/b/v1/models", authorization="Bearer s3cret"))[0] == 200
            assert [each.name for each in sandbox.sessions] == ["b"]
            assert (await control("GET", "/v1/models", authorization="Bearer s3cret"))[0] == 200

    def test_loopback(self) -> None:
        assert is_loopback("127.8.9.1")
        assert not is_loopback("")


class TestPage:
    async def test_it_needs_nothing_from_elsewhere(self, sandbox: Sandbox) -> None:
        async with aiohttp.ClientSession() as session:
            for origin in (sandbox.origin, sandbox.session("mine").origin):
                for name, kind in (("", "html"), ("/page.css", "css"), ("/page.js", "javascript")):
                    async with session.get(f"{origin}/_sandbox/ui{name}") as answer:
                        text = await answer.text()
                    assert (answer.status, answer.content_type) == (200, f"text/{kind}")
                    assert "default-src 'none'" in answer.headers["content-security-policy"]
                    assert "://" not in text
                    assert "innerHTML" not in text
            async with session.get(f"{sandbox.origin}/_sandbox/ui/../server.py") as answer:
                assert answer.status == 404

    async def test_it_needs_no_token_but_what_it_shows_does(self) -> None:
        async with Sandbox(token="s3cret") as sandbox, aiohttp.ClientSession() as session:
            for path, status in (("ui", 200), ("ui/page.js", 200), ("requests", 401)):
                async with session.get(f"{sandbox.origin}/_sandbox/{path}") as answer:
                    assert answer.status == status

    async def test_the_faults_of_its_buttons_are_faults(self, sandbox: Sandbox) -> None:
        script = (files("pipecat_responses.sandbox") / "ui" / "page.js").read_text()
        kinds = re.findall(r'kind: "(\w+)", moment: "(\w+)"', script)
        assert len(kinds) == 8
        for kind, moment in kinds:
            Fault(kind, moment)


class TestMalformed:
    """Nothing that is sent ends the server."""

    DEEP = "[" * 100_000

    @pytest.mark.parametrize(
        "path", ["faults", "config", "script", "when", "scenario", "requests", "sessions/x", "no"]
    )
    async def test_controls(self, sandbox: Sandbox, path: str) -> None:
        bodies: list[Any] = [self.DEEP, "\xff", "", "null", "1", "[[]]", '{"kind":{}}', "[{}]"]
        async with aiohttp.ClientSession() as session:
            for method in ("POST", "PATCH", "DELETE"):
                for body in bodies:
                    url = f"{sandbox.origin}/_sandbox/{path}"
                    async with session.request(method, url, data=body) as answer:
                        assert answer.status < 500, (method, body[:20], await answer.text())
        sandbox.reset()
        assert "You said" in await said(sandbox, "x")

    async def test_requests(self, sandbox: Sandbox) -> None:
        headers = {"authorization": "Bearer k"}
        async with aiohttp.ClientSession() as session:
            for path in ("responses", "responses/compact"):
                for body in (self.DEEP, '{"input":' + self.DEEP, "\xff", "", "null", '"x"'):
                    url = f"{sandbox.base_url}/{path}"
                    async with session.post(url, data=body, headers=headers) as answer:
                        assert answer.status == 400, await answer.text()
        async with connected(sandbox) as wire:
            for message in (self.DEEP, '{"type":' + self.DEEP, "", "null", '"x"', '{"type":[]}'):
                await wire.send(message)
                assert (await wire.event())["type"] == "error"
            await wire.respond("x")

    async def test_bytes(self, sandbox: Sandbox) -> None:
        upgrade = b"GET /v1/responses HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
        for sent in (b"\x00" * 100, b"\x16\x03\x01", b"GET / HTTP/9.9\r\n\r\n", upgrade):
            reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
            writer.write(sent)
            writer.write_eof()
            await reader.read()
            writer.close()
        assert "You said" in await said(sandbox, "x")


async def test_sessions_are_bounded_together(sandbox: Sandbox) -> None:
    large, small = sandbox.session("large"), sandbox.session("small")
    await post(small, "x")
    await post(large, "y" * 1000)
    sandbox.config.max_recorded_bytes = 5 * small.requests.bytes + large.requests.bytes
    for _ in range(3):
        await post(large, "z" * 1000)
    assert len(small.requests) == 1
    assert [each.body["input"][0] for each in large.requests] == ["z"]
    # What an ended session has kept does not count.
    for _ in range(3):
        await post(sandbox, "y" * 300)
    assert [len(each.requests) for each in (sandbox, large)] == [1, 1]
    sandbox.sessions.end("large")
    for _ in range(2):
        await post(sandbox, "y" * 300)
    assert len(sandbox.requests) == 3


async def test_what_is_stored_is_bounded_together(sandbox: Sandbox) -> None:
    one, two = sandbox.session("one"), sandbox.session("two")
    sandbox.config.max_stored_bytes = 3000
    _, kept = await post(one, "x", store=True)
    stored = [(await post(two, "y" * 1000, store=True))[1]["id"] for _ in range(4)]
    statuses = [(await post(two, "z", previous_response_id=each))[0] for each in stored]
    assert statuses == [400, 400, 200, 200]
    assert (await post(one, "z", previous_response_id=kept["id"]))[0] == 200
