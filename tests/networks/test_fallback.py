"""Where no WebSocket comes through, turns go over HTTP, each answered once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from pipecat.utils.errors import ErrorCategory

from pipecat_responses import OpenAIResponsesLLMService, ResponsesError
from pipecat_responses.protocol.retry import Backoff
from pipecat_responses.sandbox import Fault, Sandbox
from tests.faults.support import CONNECTIONS, Talk, counted, our_tasks, until
from tests.support.events import told
from tests.support.hurry import SWIFT, hurried_service

pytestmark = pytest.mark.clear_and_tls

PATIENT = {"quiet_secs": 1.0, "begin_secs": 5.0, "total_secs": 30.0}
"""One that is slow because the machine is would count as one that lets nothing through."""

LIMITS = {"quiet_secs": 0.1, "probe_secs": 0.1, "begin_secs": 1.0, "total_secs": 4.0}
"""Where silence is what goes wrong."""


def refused(status: int, **more: Any) -> Fault:
    return Fault("handshake_status", "handshake", times=None, params={"status": status, **more})


def page(status: int) -> Fault:
    return Fault("http_html", "handshake", times=None, params={"status": status})


REFUSALS = {
    "403 of a proxy": page(403),
    "404": refused(404, code="not_found", message="No."),
    "404 page": page(404),
    "405": page(405),
    "407": page(407),
    "426": page(426),
    "501": page(501),
    "a page with 200": page(200),
    "a redirect": page(302),
    "silence": Fault("stall", "handshake", times=None),
}
SWALLOWED = Fault("stall", "request", times=None, transport="websocket")


def fault(name: str) -> Fault:
    return replace(SWALLOWED if name == "swallowed" else REFUSALS[name])


@asynccontextmanager
async def talking(
    sandbox: Sandbox, name: str = "", *, way_back: Backoff | None = None, **kwargs: Any
) -> AsyncIterator[tuple[Talk, asyncio.Queue[str]]]:
    silent = name in ("silence", "swallowed")
    connections = {
        **CONNECTIONS,
        "open_secs": 0.5 if silent else 5.0,
        "way_back": way_back or Backoff(first=60.0, cap=60.0),
    }
    llm = hurried_service(
        "websocket",
        sandbox,
        limits=LIMITS if silent else PATIENT,
        connections=connections,
        api_key="x",
        **kwargs,
    )
    changes: asyncio.Queue[str] = told(llm, "on_transport_changed")
    talk = Talk(llm, tools=True)
    async with talk:
        yield talk, changes
    talk.check_frames()
    # What the sandbox stalls it does not read, so it cannot see the end of it.
    sandbox.cut()
    assert our_tasks() == []


async def asked_once(talk: Talk, sandbox: Sandbox, top: int, over: str) -> None:
    before = len(sandbox.requests)
    heard = await talk.turn(f"count to {top}")
    assert heard.text == counted(top)
    assert heard.errors == []
    asked = [each for each in sandbox.requests[before:] if each.outcome == "completed"]
    assert [each.transport for each in asked] == [over]
    assert talk.llm.stats.last_turn.transport == over
    assert talk.llm.is_usable


@pytest.mark.parametrize("name", [*REFUSALS, "swallowed"])
async def test_from_the_first_turn(sandbox: Sandbox, name: str) -> None:
    sandbox.faults.add(fault(name))
    async with talking(sandbox, name) as (talk, changes):
        await asked_once(talk, sandbox, 5, "http")
        assert await changes.get() == "http"
        opened = len(sandbox.handshakes)
        for top in (6, 7):
            await asked_once(talk, sandbox, top, "http")
        # The way back is not looked for by turns.
        assert len(sandbox.handshakes) <= opened + 1
        assert changes.empty()
        assert talk.errors == []
        heard = await talk.turn("Please call note.", ends=2)
        assert heard.text == 'note says "note done".'
        assert len(talk.toolbox.runs) == 1
        assert await talk.llm.run_inference(talk.context)


@pytest.mark.parametrize("name", [name for name in REFUSALS if name != "silence"])
async def test_after_a_connection_is_lost(sandbox: Sandbox, name: str) -> None:
    async with talking(sandbox) as (talk, changes):
        await asked_once(talk, sandbox, 3, "websocket")
        sandbox.faults.add(fault(name))
        sandbox.cut()
        await asked_once(talk, sandbox, 5, "http")
        assert await changes.get() == "http"
        await asked_once(talk, sandbox, 6, "http")


@pytest.mark.parametrize("name", ["404", "a page with 200"])
async def test_in_the_middle_of_an_answer(sandbox: Sandbox, name: str) -> None:
    async with talking(sandbox) as (talk, changes):
        await asked_once(talk, sandbox, 3, "websocket")
        sandbox.config.tokens_per_second = 300

        async def meanwhile() -> None:
            await talk.text_arrives(3)
            sandbox.faults.add(fault(name))
            sandbox.cut()

        heard = await talk.turn("count to 30", meanwhile=meanwhile)
        assert heard.text == counted(30)
        assert heard.errors == []
        assert await changes.get() == "http"
        assert talk.llm.stats.resumed == 1


@pytest.mark.parametrize("name", [*REFUSALS, "swallowed"])
async def test_the_way_back(sandbox: Sandbox, name: str) -> None:
    sandbox.faults.add(fault(name))
    # Where requests are swallowed, pings may come through: the way back must not be too short.
    way_back = Backoff(first=0.6, cap=0.6) if name == "swallowed" else SWIFT
    async with talking(sandbox, name, way_back=way_back) as (talk, changes):
        await asked_once(talk, sandbox, 5, "http")
        assert await changes.get() == "http"
        # It is tried again and again, and refused again and again.
        if name != "swallowed":
            tried = len(sandbox.handshakes)
            await until(lambda: name == "silence" or len(sandbox.handshakes) > tried)
        assert changes.empty()
        sandbox.faults.clear()
        assert await changes.get() == "websocket"
        await asked_once(talk, sandbox, 6, "websocket")
        await asked_once(talk, sandbox, 7, "websocket")
        assert talk.llm.stats.last_turn.incremental
        assert talk.errors == []


@pytest.mark.parametrize("name", ["404", "405", "a page with 200"])
async def test_it_can_be_turned_off(sandbox: Sandbox, name: str) -> None:
    sandbox.faults.add(fault(name))
    async with talking(sandbox, transport="websocket") as (talk, changes):
        heard = await talk.turn("count to 5")
        assert heard.text == ""
        assert heard.errors
        assert changes.empty()
        assert not sandbox.requests


@pytest.mark.parametrize(
    ("status", "category"),
    [(401, ErrorCategory.AUTHENTICATION), (403, ErrorCategory.AUTHORIZATION)],
)
async def test_a_refused_key_is_reported(
    sandbox: Sandbox, status: int, category: ErrorCategory
) -> None:
    sandbox.faults.add(refused(status, code="no", message="No."))
    async with talking(sandbox) as (talk, changes):
        heard = await talk.turn("count to 5")
        (report,) = heard.errors
        assert report.category is category
        assert isinstance(report.exception, ResponsesError)
        assert report.exception.transport == "handshake"
        assert changes.empty()
        assert not sandbox.requests


async def test_a_server_that_is_gone_is_gone(sandbox: Sandbox) -> None:
    await sandbox.stop()
    async with talking(sandbox) as (talk, changes):
        heard = await talk.turn("count to 5")
        assert heard.errors
        assert changes.empty()
        await sandbox.start()
        await asked_once(talk, sandbox, 5, "websocket")


async def test_an_interrupted_first_turn_proves_nothing(sandbox: Sandbox) -> None:
    sandbox.config.time_to_first_token = 0.5
    async with talking(sandbox) as (talk, changes):
        await talk.start("count to 30")
        await until(lambda: len(sandbox.requests) == 1)
        await talk.interrupt()
        sandbox.config.time_to_first_token = 0.0
        await asked_once(talk, sandbox, 5, "websocket")
        assert changes.empty()


def test_another_value_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="transport must be"):
        OpenAIResponsesLLMService(api_key="x", transport="http")  # type: ignore[arg-type]
