"""What is wrong is named: on the way, the key, the model, the WebSocket."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from pipecat_responses.doctor import Diagnosis, Verdict, diagnose
from pipecat_responses.doctor.server import Server
from pipecat_responses.sandbox import Fault, Sandbox

from .support import KEY, answering, examine, examine_odd, seen, silent, tcp_server, verdicts


async def examine_at(base_url: str, **kwargs: Any) -> Diagnosis:
    return await diagnose(base_url, KEY, **{"timeout_secs": 5.0, **kwargs})


def first_failure(diagnosis: Diagnosis) -> str:
    return next(each.name for each in diagnosis.checks if each.verdict is Verdict.FAILED)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


async def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    diagnosis = await examine_at("https://api.example.invalid/v1")
    assert not diagnosis.usable
    assert first_failure(diagnosis) == "name"
    assert "api.example.invalid cannot be resolved" in seen(diagnosis, "name")
    others = {name for name, verdict in verdicts(diagnosis).items() if verdict != "skipped"}
    assert others == {"name"}
    assert all("name" in each.seen for each in diagnosis.checks if each.verdict == "skipped")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_port_where_nothing_listens(host: str) -> None:
    diagnosis = await examine_at(f"http://{host}:{free_port()}/v1")
    assert not diagnosis.usable
    assert first_failure(diagnosis) == "TCP"
    assert "Nothing answers at" in seen(diagnosis, "TCP")
    assert "Check that the server runs" in seen(diagnosis, "TCP")


async def test_a_certificate_that_nobody_trusts() -> None:
    async with Sandbox(tls=True) as sandbox:
        diagnosis = await examine_at(sandbox.base_url)
    assert not diagnosis.usable
    assert first_failure(diagnosis) == "TLS"
    assert "its certificate is not trusted" in seen(diagnosis, "TLS")
    assert "SSL_CERT_FILE" in seen(diagnosis, "TLS")


async def test_tls_where_there_is_none(sandbox: Sandbox) -> None:
    diagnosis = await examine_at(sandbox.base_url.replace("http:", "https:"))
    assert first_failure(diagnosis) == "TLS"
    assert "does not speak TLS" in seen(diagnosis, "TLS")
    assert "use http:// if the server has no TLS" in seen(diagnosis, "TLS")


async def test_no_tls_where_there_is_some() -> None:
    async with Sandbox(tls=True) as sandbox:
        diagnosis = await examine_at(sandbox.base_url.replace("https:", "http:"))
    assert not diagnosis.usable
    assert first_failure(diagnosis) == "HTTP"


async def test_silence_instead_of_tls() -> None:
    async with tcp_server(silent) as url:
        diagnosis = await examine_at(url.replace("http:", "https:"), timeout_secs=0.5)
    assert first_failure(diagnosis) == "TLS"
    assert "did not take part in TLS within 0.5 s" in seen(diagnosis, "TLS")


async def test_a_wrong_key(sandbox: Sandbox) -> None:
    sandbox.config.api_keys = {"another"}
    diagnosis = await examine(sandbox)
    assert not diagnosis.usable
    assert first_failure(diagnosis) == "key"
    assert "Incorrect API key" in seen(diagnosis, "key")
    assert "Use a key that is valid" in seen(diagnosis, "key")
    assert verdicts(diagnosis)["model"] == "skipped"
    assert sandbox.requests == []


async def test_no_key(sandbox: Sandbox) -> None:
    sandbox.config.api_keys = {"another"}
    diagnosis = await examine(sandbox, api_key=None)
    assert "the server wants one" in seen(diagnosis, "key")


async def test_a_server_that_says_the_key_back(sandbox: Sandbox) -> None:
    said = {"status": 401, "code": "invalid_api_key", "message": f"No such key: {KEY}!"}
    sandbox.faults.add(Fault("error", times=None, params=said))
    diagnosis = await examine(sandbox)
    assert "No such key: sk-***!" in seen(diagnosis, "key")
    assert KEY not in str(diagnosis)


async def test_no_credit(sandbox: Sandbox) -> None:
    said = {"status": 429, "code": "insufficient_quota", "message": "You exceeded your quota."}
    sandbox.faults.add(Fault("error", times=None, params=said))
    diagnosis = await examine(sandbox)
    assert first_failure(diagnosis) == "key"
    assert "billing" in seen(diagnosis, "key")


async def test_a_server_that_takes_no_request(sandbox: Sandbox) -> None:
    said = {"status": 400, "code": "bad_request", "message": "No."}
    sandbox.faults.add(Fault("error", times=None, params=said))
    diagnosis = await examine(sandbox)
    assert not diagnosis.usable
    assert diagnosis.verdict_of("key") is Verdict.OK
    assert first_failure(diagnosis) == "HTTP"
    # It was not the optional fields, so they are sent again.
    bodies = [each.body for each in sandbox.requests]
    assert [("store" in body) for body in bodies[:3]] == [True, False, True]


async def test_too_many_requests(sandbox: Sandbox) -> None:
    said = {"status": 429, "code": "rate_limit_exceeded", "message": "Slow down."}
    sandbox.faults.add(Fault("error", times=None, params=said))
    diagnosis = await examine(sandbox)
    assert first_failure(diagnosis) == "HTTP"
    assert "Wait a moment" in seen(diagnosis, "HTTP")


@pytest.mark.parametrize(
    "said",
    [
        None,
        {"status": 404, "code": "404", "message": "The model `gpt-4.1` does not exist."},
        {"status": 400, "message": "Invalid model name passed in model=gpt-4.1", "code": "400"},
        {"status": 403, "code": "model_not_found", "message": "Project has no access to it."},
    ],
)
async def test_a_model_that_is_not_there(sandbox: Sandbox, said: dict[str, Any] | None) -> None:
    sandbox.config.models = {"another"}
    if said is not None:
        sandbox.faults.add(Fault("error", times=None, params=said))
    diagnosis = await examine(sandbox)
    assert not diagnosis.usable
    assert first_failure(diagnosis) == "model"
    assert diagnosis.verdict_of("key") is Verdict.OK
    assert "Choose another --model" in seen(diagnosis, "model")
    assert verdicts(diagnosis)["WebSocket answer"] == "skipped"


@pytest.mark.parametrize("status", [200, 404])
async def test_a_page_instead_of_an_api(status: int) -> None:
    words = {200: "200 OK", 404: "404 Not Found"}[status]
    page = answering(f"{words}\r\nContent-Type: text/html", "<html>Welcome</html>")
    async with tcp_server(page) as url:
        diagnosis = await examine_at(url)
    assert not diagnosis.usable
    assert verdicts(diagnosis)["key"] == "unclear"
    assert first_failure(diagnosis) == "HTTP"
    expected = {200: "text/html", 404: "Check the address"}[status]
    assert expected in seen(diagnosis, "HTTP")
    assert diagnosis.verdict_of("WebSocket") in (Verdict.NO, Verdict.FAILED)


async def test_a_server_that_accepts_and_is_silent() -> None:
    async with tcp_server(silent) as url:
        diagnosis = await examine_at(url, timeout_secs=0.5)
    assert not diagnosis.usable
    assert diagnosis.verdict_of("TCP") is Verdict.OK
    for name in ("HTTP", "WebSocket"):
        assert diagnosis.verdict_of(name) is Verdict.FAILED
        assert "within 0.5 s" in seen(diagnosis, name)
    assert "more time with --timeout" in seen(diagnosis, "HTTP")


@pytest.mark.parametrize("status", [403, 407, 200, 302])
async def test_a_websocket_that_something_on_the_way_refuses(
    sandbox: Sandbox, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "on_this_machine", False)
    sandbox.faults.add(Fault("http_html", "handshake", times=None, params={"status": status}))
    diagnosis = await examine(sandbox)
    assert diagnosis.usable
    assert first_failure(diagnosis) == "WebSocket"
    assert f"status {status}" in seen(diagnosis, "WebSocket")
    assert "proxy" in seen(diagnosis, "WebSocket")
    # It says nothing of the server.
    assert diagnosis.capabilities["websocket"] is None
    assert diagnosis.capabilities["refused_fields"] == []


async def test_a_websocket_that_swallows(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("stall", times=None, transport="websocket"))
    diagnosis = await examine(sandbox, timeout_secs=1.0)
    assert diagnosis.usable
    assert first_failure(diagnosis) == "WebSocket answer"
    assert "no answer within 1 s" in seen(diagnosis, "WebSocket answer")


async def test_an_answer_that_breaks_off(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("reset", "text", after=2, transport="http"))
    diagnosis = await examine(sandbox)
    assert diagnosis.verdict_of("model") is Verdict.OK
    assert first_failure(diagnosis) == "HTTP"
    assert diagnosis.usable


async def test_a_server_of_websockets_only() -> None:
    diagnosis = await examine_odd()
    assert diagnosis.usable
    assert verdicts(diagnosis)["key"] == "unclear"
    assert diagnosis.verdict_of("HTTP") is Verdict.FAILED


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/v1", "in clear text"),
        ("ftp://example.com", "is no address"),
    ],
)
async def test_an_address_that_cannot_be_used(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        await diagnose(url, KEY)


async def test_a_proxy_of_the_environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = answering("403 Forbidden\r\nContent-Type: text/html", "<html>Not here.</html>")
    async with tcp_server(refuses) as url:
        place = url.removesuffix("/v1")
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, place.replace("http://", "http://me:secret@"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "")
        diagnosis = await examine(sandbox, timeout_secs=2.0)
    assert not diagnosis.usable
    assert f"{place}, as the environment says" in seen(diagnosis, "proxy")
    assert place.rpartition(":")[2] in seen(diagnosis, "TCP")
    assert "secret" not in str(diagnosis)
    assert first_failure(diagnosis) == "HTTP"
    assert sandbox.requests == []
