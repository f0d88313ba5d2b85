"""What no source says is an option, and all such options stand in one table of the docs."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses import OpenAIResponsesHttpLLMService, OpenAIResponsesLLMService
from pipecat_responses.sandbox import Answer, Call, Fault, Sandbox, SandboxConfig
from pipecat_responses.testing import Conversation, expect

PAGE = Path(__file__).parents[2] / "docs" / "unknown.md"

DOCUMENTED = {
    "cache_matching",
    "cache_minimum_tokens",
    "cache_step_tokens",
    "forks",
    "lane_memory",
    "lanes",
    "max_connection_age",
    "max_in_flight",
    "max_streams",
    "model_limits",
    "obfuscation",
    "steering",
    "verify_encrypted_content",
}
"""What the API's guides and its own refusals say; tests may want it otherwise."""

OTHER_SERVERS = {
    "api_key_header",
    "deployments",
    "dialect",
    "dropped_fields",
    "encrypted_reasoning",
    "filtered_words",
    "instructions_when_continuing",
    "names_parents",
    "reasoning_text",
    "refused_fields",
    "required_query",
    "searches_as_custom_calls",
    "storage",
    "usage_details",
    "websocket_status",
}
ITS_OWN = {
    "any_model",
    "api_keys",
    "hosted_seconds",
    "max_body",
    "max_recorded",
    "max_recorded_bytes",
    "max_stored",
    "max_stored_bytes",
    "max_stored_events",
    "models",
    "persona",
    "responder",
    "seed",
    "time_to_created",
    "time_to_first_token",
    "tokens_per_second",
}


def rows() -> dict[str, list[str]]:
    """The cells of the table by the name of the option."""
    table = PAGE.read_text().split("<!-- table -->")[1].split("<!-- end of table -->")[0]
    lines = [line.strip()[1:-1].split("|") for line in table.strip().splitlines()[2:]]
    return {name.strip(" `"): [cell.strip() for cell in rest] for name, *rest in lines}


def choices(kind: Any) -> set[Any]:
    """The values that an option can have, if they can be counted."""
    found = {value for value in get_args(kind) if isinstance(value, str)}
    return found.union(*(choices(part) for part in get_args(kind) if not isinstance(part, str)))


UNKNOWN = rows()


def test_every_option_is_of_one_kind() -> None:
    options = {field.name for field in fields(SandboxConfig)}
    kinds = [set(UNKNOWN), DOCUMENTED, OTHER_SERVERS, ITS_OWN]
    assert set().union(*kinds) == options
    assert sum(map(len, kinds)) == len(options)


@pytest.mark.parametrize("name", UNKNOWN)
def test_the_table_says_what_the_options_are(name: str) -> None:
    default, others, decides, source = UNKNOWN[name]
    assert default == f"`{getattr(SandboxConfig(), name)}`"
    possible = choices(get_type_hints(SandboxConfig)[name])
    assert set(re.findall(r"`(\w+)`", others)) == possible - {default.strip("`")}
    assert decides
    assert source


IN_STORAGE = {"cancel_finished", "cancelled_stream", "listed_input"}
OVER_HTTP = {"sse_errors", "keepalive", "nulls"}
OTHERWISE = [
    (name, value, transport)
    for name in UNKNOWN.keys() - IN_STORAGE
    for value in re.findall(r"`(\w+)`", UNKNOWN[name][1])
    for transport in (["websocket", "http"] if name in OVER_HTTP else ["websocket"])
]


@pytest.mark.parametrize(("name", "value", "transport"), sorted(OTHERWISE))
async def test_a_conversation_goes_on_whatever_it_is(
    sandbox: Sandbox, name: str, value: str, transport: str
) -> None:
    """A tool, an error in the middle, an interruption, and turns after each of them."""
    setattr(sandbox.config, name, value)
    sandbox.config.keepalive_secs = 0.01
    kind = OpenAIResponsesLLMService if transport == "websocket" else OpenAIResponsesHttpLLMService
    llm = kind(api_key="x", base_url=sandbox.base_url)

    async def get_time(params: FunctionCallParams) -> None:
        """Tell the time."""
        await params.result_callback("12:30")

    async with Conversation(llm, LLMContext(tools=[get_time])) as talk:
        sandbox.script(Answer((Call("get_time"),)), "Half past twelve.")
        assert await talk.say("What time is it?", ends=2) == "Half past twelve."
        sandbox.faults.add(Fault("error", "text", after=1, params={"code": "server_error"}))
        sandbox.script("This breaks off.", "breaks off.", "Here it is.")
        assert (await talk.say("Say something.")).endswith("breaks off.")
        assert await talk.say("And now?") == "Here it is."
        sandbox.script("A long story that nobody will hear to its end.", "Fine.")
        sandbox.config.tokens_per_second = 50
        await talk.start("Tell a story.")
        await talk.text_arrives()
        await talk.interrupt()
        sandbox.config.tokens_per_second = None
        assert await talk.say("Never mind.") == "Fine."
    expect(talk).called_once("get_time")
