"""The doctor finds out what a server can do, as its switches say."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from pipecat_responses.doctor import Verdict
from pipecat_responses.sandbox import Fault, Sandbox

from .support import examine, examine_odd, known, seen, verdicts

CAN = {
    "websocket": True,
    "lanes": True,
    "forks": True,
    "warm_up": True,
    "cancel": True,
    "cancel_stops": False,
    "continuation": True,
    "instructions_when_continuing": True,
    "stored_continuation": None,
    "encrypted_reasoning": None,
    "remembers_incomplete": False,
    "remembers_interrupted": None,
    "steering": None,
}
"""What the sandbox can do by default."""

LIMIT = "memory, incomplete"


@pytest.mark.clear_and_tls
async def test_a_server_that_can_do_everything(sandbox: Sandbox) -> None:
    sandbox.config.cancel = "honoured"
    sandbox.config.memory_after_failure = "remembers_new"
    diagnosis = await examine(sandbox, stored=True, model="gpt-5-mini")
    secure = sandbox.ssl_context is not None
    assert verdicts(diagnosis) == {
        **({} if secure else {"TLS": "skipped"}),
        "optional fields": "no",
    }
    assert diagnosis.usable
    assert known(diagnosis) == {**dict.fromkeys(CAN, True), "steering": None}
    assert diagnosis.capabilities["refused_fields"] == ["temperature", "top_p"]
    assert diagnosis.capabilities["address"] == sandbox.ws_url
    assert 0 < diagnosis.tokens < 1500
    stored = [each for each in sandbox.requests if each.body.get("store") is not False]
    assert len(stored) == 2
    assert "deleted again" in seen(diagnosis, "store: true")


async def test_nothing_is_stored_unless_that_is_asked_for(sandbox: Sandbox) -> None:
    diagnosis = await examine(sandbox)
    assert known(diagnosis) == CAN
    assert {each.body["store"] for each in sandbox.requests} == {False}
    assert diagnosis.capabilities["refused_fields"] == []
    assert verdicts(diagnosis, LIMIT, "TLS", "encrypted reasoning") == {
        "cancel": "no",
        "memory, cancelled": "skipped",
    }


@pytest.mark.parametrize("lanes", ["rejected", "ignored"])
async def test_without_lanes(sandbox: Sandbox, lanes: Literal["rejected", "ignored"]) -> None:
    sandbox.config.lanes = lanes
    diagnosis = await examine(sandbox)
    assert known(diagnosis) == {**CAN, "lanes": False, "forks": None}
    found = "stream_id is refused" if lanes == "rejected" else "no event bears it"
    assert found in diagnosis.capabilities["why"]["lanes"]


async def test_refusing(sandbox: Sandbox) -> None:
    sandbox.config.generate_false = "rejected"
    sandbox.config.forks = "fail"
    sandbox.config.cancel = "rejected"
    diagnosis = await examine(sandbox)
    expected = {**CAN, "warm_up": False, "forks": False, "cancel": False}
    assert known(diagnosis) == expected
    assert "Unknown parameter: 'generate'" in diagnosis.capabilities["why"]["warm_up"]


@pytest.mark.parametrize("memory", ["forgets", "keeps_previous", "remembers_new"])
async def test_after_responses_that_were_cut(
    sandbox: Sandbox, memory: Literal["forgets", "keeps_previous", "remembers_new"]
) -> None:
    sandbox.config.cancel = "honoured"
    sandbox.config.memory_after_failure = memory
    diagnosis = await examine(sandbox)
    remembers = memory == "remembers_new"
    assert known(diagnosis) == {
        **CAN,
        "cancel_stops": True,
        "remembers_incomplete": remembers,
        "remembers_interrupted": remembers,
    }


async def test_a_server_without_websockets(sandbox: Sandbox) -> None:
    refusal = {"status": 405, "code": "not_allowed", "message": "POST only."}
    sandbox.faults.add(Fault("handshake_status", "handshake", times=None, params=refusal))
    diagnosis = await examine(sandbox, stored=True, model="gpt-5-mini")
    assert diagnosis.usable
    assert "answers the upgrade with status 405" in seen(diagnosis, "WebSocket")
    assert diagnosis.verdict_of("WebSocket") is Verdict.NO
    assert known(diagnosis) == {
        **dict.fromkeys(CAN),
        "websocket": False,
        "stored_continuation": True,
        "encrypted_reasoning": True,
    }


NO_HTTP = {
    "TLS": "skipped",
    "key": "unclear",
    "model": "unclear",
    "HTTP": "failed",
    "encrypted reasoning": "skipped",
}
ODD = {**CAN, "cancel_stops": True, "remembers_incomplete": True, "remembers_interrupted": True}


@pytest.mark.parametrize(
    ("switches", "expected", "differs"),
    [
        ({}, {}, {}),
        # A response that was dropped cannot be recalled.
        (
            {"drops_parent": True},
            {"continuation": False},
            {
                "continuation": "no",
                "instructions": "skipped",
                "generate: false": "skipped",
                "forks": "skipped",
                "memory, cancelled": "skipped",
                LIMIT: "skipped",
            },
        ),
        # What proves nothing is left open.
        (
            {"drops_parent": True, "usage": False},
            {"continuation": None},
            {
                "continuation": "unclear",
                "instructions": "unclear",
                "generate: false": "unclear",
                "forks": "unclear",
                "memory, cancelled": "unclear",
                LIMIT: "unclear",
            },
        ),
        (
            {"forgets_in_substance": True},
            {"continuation": None},
            {
                "continuation": "unclear",
                "instructions": "unclear",
                "generate: false": "unclear",
                "forks": "unclear",
                "memory, cancelled": "unclear",
                LIMIT: "unclear",
            },
        ),
        ({"answers_anyway": True}, {"warm_up": False}, {"generate: false": "no"}),
        ({"prepares_nothing": True}, {"warm_up": False}, {"generate: false": "no"}),
        ({"fork_moves": True}, {"forks": False}, {"forks": "no"}),
        # Words only.
        ({"vague": True}, {}, {}),
        ({"refuses": ("stream_id",)}, {"lanes": False}, {"lanes": "no", "forks": "skipped"}),
        (
            {"refuses": ("store", "temperature", "prompt_cache_key")},
            {},
            {"optional fields": "no"},
        ),
        (
            {"refuses": ("store", "temperature", "metadata"), "mute": True},
            {},
            {"optional fields": "no"},
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
async def test_servers_of_other_kinds(
    switches: dict[str, Any], expected: dict[str, Any], differs: dict[str, str]
) -> None:
    diagnosis = await examine_odd(**switches)
    assert verdicts(diagnosis) == {**NO_HTTP, **differs}
    assert diagnosis.usable
    settled = {name: ODD[name] for name in ODD if name not in expected}
    for name, value in known(diagnosis).items():
        if name in expected:
            assert value == expected[name], name
        elif value is not None:
            assert value == settled[name], name
    refused = sorted(switches.get("refuses", ()))
    if refused != ["stream_id"]:
        assert diagnosis.capabilities["refused_fields"] == refused


async def test_one_connection_at_a_time() -> None:
    diagnosis = await examine_odd(connections=1)
    # The checks that take a connection of their own say so, each by itself.
    assert diagnosis.verdict_of("continuation") is Verdict.OK
    assert diagnosis.verdict_of("lanes") is Verdict.FAILED
    assert diagnosis.verdict_of("rotation") is Verdict.FAILED
    assert known(diagnosis)["lanes"] is None


@pytest.mark.parametrize("cancel", ["vanishes", "drops"])
async def test_a_response_that_is_gone_after_a_cancel(cancel: str) -> None:
    diagnosis = await examine_odd(timeout_secs=1.0, cancel=cancel)
    assert diagnosis.verdict_of("cancel") is Verdict.UNCLEAR
    assert known(diagnosis)["cancel"] is None
    assert known(diagnosis)["remembers_interrupted"] is None


@pytest.mark.parametrize("cancel", ["late", "objects"])
async def test_a_response_that_was_complete_before_it_could_be_stopped(cancel: str) -> None:
    diagnosis = await examine_odd(cancel=cancel)
    assert diagnosis.verdict_of("cancel") is Verdict.UNCLEAR
    assert "complete before it could be stopped" in seen(diagnosis, "cancel")
    assert known(diagnosis)["cancel"] is None
    assert diagnosis.verdict_of("memory, cancelled") is Verdict.SKIPPED


@pytest.mark.parametrize("steering", [True, False])
async def test_input_while_it_answers(sandbox: Sandbox, steering: bool) -> None:
    sandbox.config.steering = steering
    diagnosis = await examine(sandbox, model="gpt-6-sol")
    assert known(diagnosis)["steering"] is steering
    expected = Verdict.OK if steering else Verdict.NO
    assert diagnosis.verdict_of("steering") is expected, seen(diagnosis, "steering")
