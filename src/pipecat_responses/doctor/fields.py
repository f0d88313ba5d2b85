"""Optional fields of a request: which the server refuses, and what becomes of two of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipecat_responses.doctor.advice import no, nothing_to_check, ok, said, trouble, unclear
from pipecat_responses.doctor.answers import Answer, is_refusal, named_field
from pipecat_responses.doctor.findings import Finding
from pipecat_responses.doctor.over_websocket import NOT_CERTAIN
from pipecat_responses.doctor.server import Server, Told
from pipecat_responses.doctor.words import QUESTION, Memory, new_word, recall, telling
from pipecat_responses.service.settings import ENCRYPTED_REASONING

OPTIONAL: Mapping[str, Any] = {
    "instructions": "Be brief.",
    "temperature": 1.0,
    "top_p": 1.0,
    "service_tier": "auto",
    "parallel_tool_calls": True,
    "max_tool_calls": 8,
    "top_logprobs": 1,
    "truncation": "disabled",
    "prompt_cache_key": "pipecat-responses-doctor",
    "safety_identifier": "pipecat-responses-doctor",
    "metadata": {"asked_by": "pipecat-responses"},
    "text.verbosity": "medium",
    "text.format": {"type": "text"},
    "stream_options.include_obfuscation": False,
    "context_management": [{"type": "compaction", "compact_threshold": 100_000}],
}
"""The fields that settings lead to, by their dotted paths, each with a value that does no harm."""

_PROMPT = "Answer only: ok"

_PUZZLE = "How many of the numbers from 1 to 30 are prime? Answer with the number only."

_FOR_THINKING = 1024
"""Tokens for an answer that is to be thought about."""


async def optional_fields(server: Server) -> Finding:
    """Which optional fields are refused: all are tried at once, and those that are named go."""
    refused = dict(server.refused)
    trying = {**OPTIONAL, **server.suspected}
    groups = [trying]
    while groups:
        group = groups.pop()
        answer = await server.ask(server.request(_PROMPT, **_nested(group)))
        error = answer.error
        if error is None:
            continue
        if not is_refusal(error, *group):
            return trouble(error, server)
        named = named_field(error, group)
        if named is None and len(group) > 1:
            # It says of none in particular, so each half is tried by itself.
            names = list(group)
            half = len(names) // 2
            groups += [
                {name: group[name] for name in part} for part in (names[:half], names[half:])
            ]
            continue
        name = named or next(iter(group))
        refused[name] = error.message
        rest = {each: value for each, value in group.items() if each != name}
        if rest:
            groups.append(rest)
    server.refused = refused
    total = len(trying) + len(refused.keys() - trying.keys())
    if not refused:
        return ok(f"All {total} that were tried are taken.")
    return no(
        f"Refused: {', '.join(sorted(refused))}.",
        "Leave these settings alone with this model, or let the service drop them.",
    )


async def encrypted_reasoning(server: Server) -> Finding:
    """Whether reasoning comes encrypted, so that it can be sent back without storage."""
    if server.reasons is False:
        return nothing_to_check(f"{server.model} does not reason.")
    fields: dict[str, Any] = {"include": [ENCRYPTED_REASONING], "max_output_tokens": _FOR_THINKING}
    if server.reasons:
        fields["reasoning"] = {"effort": "low"}
    answer = await server.ask(server.request(_PUZZLE, **fields))
    if answer.error is not None:
        if not is_refusal(answer.error, "include"):
            return trouble(answer.error, server)
        return no(
            f"Encrypted reasoning is refused: {said(answer.error)}",
            "Nothing to do: reasoning is not kept from turn to turn.",
            encrypted_reasoning=False,
        )
    thoughts = [
        each for each in answer.output if isinstance(each, dict) and each.get("type") == "reasoning"
    ]
    if not thoughts:
        return unclear("The model did not reason this time, so there was nothing to encrypt.")
    if all(each.get("encrypted_content") for each in thoughts):
        return ok("The model's reasoning comes with encrypted content.", encrypted_reasoning=True)
    return no(
        "The wish is taken, and reasoning comes without encrypted content.",
        "Nothing to do: reasoning is not kept from turn to turn.",
        encrypted_reasoning=False,
    )


async def stored(server: Server) -> Finding:
    """Whether a stored response can be continued from elsewhere. It is deleted afterwards."""
    word = new_word()
    told = await server.ask(server.request(telling(word), store=True))
    if told.error is not None:
        if not is_refusal(told.error, "store"):
            return trouble(told.error, server)
        return _not_stored(f"store: true is refused: {said(told.error)}")
    made = [told]

    async def ask(parent: str) -> Answer:
        request = server.request(QUESTION, previous_response_id=parent, store=True)
        answer = await server.ask(request)
        made.append(answer)
        return answer

    recalled = await recall(Told(word, told), ask, "store")
    left = [
        each.response_id
        for each in made
        if each.response_id is not None and not await server.forget(each.response_id)
    ]
    where = f" Still stored there: {', '.join(left)}." if left else " Both are deleted again."
    match recalled.memory:
        case Memory.THERE:
            seen = f"A stored response was continued from elsewhere.{where}"
            return ok(seen, stored_continuation=True)
        case Memory.REFUSED:
            return _not_stored(f"It cannot be continued from: {said(recalled.error)}")
        case Memory.DROPPED:
            return _not_stored("previous_response_id is dropped: the model saw the question alone.")
        case Memory.UNCERTAIN:
            return unclear("The model did not know what it had been told.", NOT_CERTAIN)
        case Memory.TROUBLE:
            return trouble(recalled.error, server)


def _not_stored(seen: str) -> Finding:
    return no(seen, "Leave store off, as it is by default.", stored_continuation=False)


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by their dotted paths, as they stand in a request."""
    values: dict[str, Any] = {}
    for path, value in fields.items():
        name, _, inner = path.partition(".")
        if inner:
            values.setdefault(name, {})[inner] = value
        else:
            values[name] = value
    return values
