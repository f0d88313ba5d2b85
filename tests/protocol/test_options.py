"""What servers say when they do not take a part of a request, and requests without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_responses.protocol.capabilities import Capability, ServerCapabilities
from pipecat_responses.protocol.errors import read_error
from pipecat_responses.protocol.failures import Failure, Recovery
from pipecat_responses.protocol.items import make_item
from pipecat_responses.protocol.options import RefusedOption, refused_option, without
from pipecat_responses.protocol.refusals import understand
from pipecat_responses.protocol.requests import Fields, Request

VALUES: dict[str, Any] = {
    "model": "gpt-5",
    "instructions": "Be brief.",
    "store": False,
    "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    "reasoning": {"effort": "minimal", "summary": "auto"},
    "text": {"verbosity": "low"},
    "temperature": 0.7,
    "truncation": "auto",
    "prompt_cache_key": "call-7",
    "safety_identifier": "user-1",
    "parallel_tool_calls": True,
    "metadata": {"line": "7"},
    "max_output_tokens": 12,
    "stream_options": {"include_obfuscation": False},
    "tools": [
        {"type": "function", "name": "note", "parameters": {"type": "object"}, "strict": True},
        {"type": "function", "name": "text", "parameters": {"type": "object"}, "strict": True},
    ],
}
PYDANTIC = "1 validation error for ResponsesRequest\n{}\n  Extra inputs are not permitted [type=x]"


def said(message: str = "No.", status: int | None = 400, **more: Any) -> dict[str, Any]:
    return {"status": status, "error": {"message": message, **more}}


def unknown(name: str) -> dict[str, Any]:
    """As the API says it."""
    return said(
        f"Unknown parameter: '{name}'.",
        type="invalid_request_error",
        code="unknown_parameter",
        param=name,
    )


def validator(*place: str | int) -> dict[str, Any]:
    """As FastAPI says it, in the body of a 422."""
    loc = ["body", *place]
    detail = [{"type": "extra_forbidden", "loc": loc, "msg": "Extra inputs are not permitted"}]
    return {"status": 422, "detail": detail}


# Server's words: from the SDK's and gateways' issue trackers, and validators' own texts.
WORDS: list[tuple[dict[str, Any], str]] = [
    *((unknown(name), name) for name in ("prompt_cache_key", "store", "include", "truncation")),
    *((unknown(name), name) for name in ("text.verbosity", "reasoning.summary", "metadata")),
    (unknown("stream_options.include_obfuscation"), "stream_options.include_obfuscation"),
    (unknown("tools[0].strict"), "tools[].strict"),
    (unknown("body.safety_identifier"), "safety_identifier"),
    (validator("safety_identifier"), "safety_identifier"),
    (validator("text", "ResponseTextConfig", "verbosity"), "text.verbosity"),
    (validator("tools", 1, "function", "strict"), "tools[].strict"),
    (said(PYDANTIC.format("prompt_cache_key"), None), "prompt_cache_key"),
    (said(PYDANTIC.format("store"), 422), "store"),
    (said("Unrecognized request argument supplied: store"), "store"),
    (said('json: unknown field "metadata"'), "metadata"),
    (said("property 'include' is unsupported, did you mean 'input'?"), "include"),
    (said("UnsupportedParamsError: does not support parameters: ['truncation']"), "truncation"),
    (said("`temperature` is not supported"), "temperature"),
    (said("parallel_tool_calls is not allowed here", 422), "parallel_tool_calls"),
    ({"error": "unknown field safety_identifier", "status": 400}, "safety_identifier"),
    ({"detail": "Unexpected keyword argument 'store'", "status": 422}, "store"),
    # xAI over HTTP, and over a WebSocket.
    ({"code": "400", "error": "Argument not supported: prompt_cache_key"}, "prompt_cache_key"),
    (
        {"error": {"message": 'x: {"error":"Argument not supported: store"}', "type": "api_error"}},
        "store",
    ),
    # OpenRouter, with zod's list beside the error or in it.
    (
        {
            "error": {"code": "invalid_prompt", "message": "Invalid Responses API request"},
            "metadata": {
                "raw": [
                    {
                        "code": "invalid_type",
                        "path": ["prompt_cache_key"],
                        "message": "Invalid input: expected null, received string",
                    }
                ]
            },
        },
        "prompt_cache_key",
    ),
    (
        said(
            "Provider returned error",
            metadata={
                "raw": [{"path": [], "keys": ["truncation"], "message": "Unrecognized key(s)"}]
            },
        ),
        "truncation",
    ),
    (
        said("Provider returned error", metadata={"raw": "Unknown parameter: 'truncation'."}),
        "truncation",
    ),
    # LiteLLM numbers its codes.
    (
        {
            "error": {
                "message": "litellm.BadRequestError: OpenAIException - Unknown parameter: 'store'.",
                "type": None,
                "param": None,
                "code": "400",
            }
        },
        "store",
    ),
    ({"status": 400, "error": {"detail": "Unsupported parameter: store"}}, "store"),
    ({"object": "error", "message": "Unknown parameter", "param": "store", "code": 400}, "store"),
    (
        said("reasoning.effort is not supported", None, code="unsupported_parameter"),
        "reasoning.effort",
    ),
]


@pytest.mark.parametrize(("wire", "path"), WORDS, ids=str)
def test_what_is_refused(wire: dict[str, Any], path: str) -> None:
    found = refused_option(read_error(wire), VALUES)
    assert found is not None
    assert (found.path, found.value) == (path, None)
    assert found.why == read_error(wire).message


def test_a_value_is_refused_and_others_are_not() -> None:
    error = read_error(
        said(
            "Unsupported value: 'minimal' is not supported with the 'gpt-5' model.",
            code="unsupported_value",
            param="reasoning.effort",
        )
    )
    found = refused_option(error, VALUES)
    assert found == RefusedOption("reasoning.effort", error.message, '"minimal"', "gpt-5")
    assert without(VALUES, [found])["reasoning"] == {"summary": "auto"}
    for other in (
        {**VALUES, "reasoning": {"effort": "low", "summary": "auto"}},
        {**VALUES, "model": "gpt-5.1"},
    ):
        assert without(other, [found]) == other


@pytest.mark.parametrize(
    "wire",
    [
        said("store must be set to false", param=None),
        {"code": "400", "error": "Argument not supported: store=true"},
        said("Unsupported value", param="store"),
    ],
    ids=str,
)
def test_a_server_that_does_not_store(wire: dict[str, Any]) -> None:
    values = {**VALUES, "store": True}
    found = refused_option(read_error(wire, status=400), values)
    assert found is not None
    assert (found.path, found.value) == ("store", "true")
    # Left out, it might be the server's default.
    assert without(values, [found])["store"] is False
    assert without(VALUES, [found])["store"] is False


def test_a_parameter_that_a_model_does_not_take_is_for_another_one() -> None:
    words = "Unsupported parameter: 'temperature' is not supported with this model."
    error = read_error(said(words, param="temperature", code="unsupported_parameter"))
    found = refused_option(error, VALUES)
    assert found is not None
    assert (found.path, found.model, found.value) == ("temperature", "gpt-5", None)
    assert "temperature" not in without({**VALUES, "temperature": 0.1}, [found])


@pytest.mark.parametrize(
    "wire",
    [
        said("Invalid value", param="include[0]", code="invalid_value"),
        said("reasoning.encrypted_content is not supported"),
        validator("include", 0),
    ],
    ids=str,
)
def test_an_entry_of_a_list(wire: dict[str, Any]) -> None:
    found = refused_option(read_error(wire), VALUES)
    assert found is not None
    assert (found.path, found.model) == ("include", None)
    left = without(VALUES, [found])
    assert left["include"] == ["message.output_text.logprobs"]
    other = RefusedOption("include", value='"message.output_text.logprobs"')
    assert "include" not in without(VALUES, [found, other])


CHOOSING = {
    **VALUES,
    "tool_choice": {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "note"}],
    },
}


@pytest.mark.parametrize(
    ("wire", "path"),
    [
        (unknown("tool_choice.tools"), "tool_choice.type"),
        (said("Invalid value.", param="tool_choice", code="invalid_value"), "tool_choice.type"),
        (said("Invalid value.", param="tool_choice.type"), "tool_choice.type"),
        (said("Input should be 'none'", param="tool_choice.literal"), "tool_choice.type"),
        (said("The parameter 'allowed_tools' is not supported."), "tool_choice.type"),
        (unknown("tool_choice"), "tool_choice"),
    ],
)
@pytest.mark.parametrize("mode", ["auto", "required"])
def test_a_choice_among_the_tools(wire: dict[str, Any], path: str, mode: str) -> None:
    """Without it, the tools that it leaves out are not declared, whichever they are."""
    values = {**CHOOSING, "tool_choice": {**CHOOSING["tool_choice"], "mode": mode}}
    option = refused_option(read_error(wire), values)
    assert option is not None
    assert option.path == path
    left = without(values, [option])
    assert left["tools"] == VALUES["tools"][:1]
    required = mode == "required" and path == "tool_choice.type"
    assert left.get("tool_choice") == ("required" if required else None)
    other = {**values["tool_choice"], "tools": [{"type": "function", "name": "text"}]}
    assert without({**values, "tool_choice": other}, [option])["tools"] == VALUES["tools"][1:]


def test_a_choice_of_none_is_none() -> None:
    left = without({**VALUES, "tool_choice": "none"}, [RefusedOption("tool_choice")])
    assert "tools" not in left
    assert "tool_choice" not in left


def test_other_choices_are_refused_by_value() -> None:
    values = {**VALUES, "tool_choice": "required"}
    wire = said("Invalid value: 'required'.", param="tool_choice", code="invalid_value")
    assert refused_option(read_error(wire), values) == RefusedOption(
        "tool_choice", "Invalid value: 'required'.", value='"required"', model="gpt-5"
    )


@pytest.mark.parametrize(
    "wire",
    [
        said("Invalid image", param="input[3].content[0]"),
        said("x", param="model"),
        said("x", param="instructions"),
        said("x", param="tools"),
        said("Invalid schema for function 'note'", param="tools[0].parameters"),
        said("Invalid schema for function 'text'", param="tools[1].parameters"),
        said("Invalid tool type", param="tools[0].type"),
        validator("input", 0, "text"),
        validator("input", 0, "metadata"),
        said("The text of the message is too long"),
        said("This metadata store is not available for your account", 403),
        said("Bad request"),
        said("Overloaded: 'store'", 503),
        said("Rate limit", 429, param="store"),
        said("No such 'store'", 401),
        said("x", param="text.format.schema"),
    ],
    ids=str,
)
def test_what_is_about_something_else(wire: dict[str, Any]) -> None:
    assert refused_option(read_error(wire), {**VALUES, "text": {"format": {"schema": 1}}}) is None


def test_nothing_is_refused_that_was_not_sent() -> None:
    assert refused_option(read_error(unknown("prompt_cache_key")), {"model": "m"}) is None


@given(
    st.dictionaries(st.sampled_from(sorted(VALUES)), st.just(None)),
    st.lists(st.sampled_from([path for _, path in WORDS]), max_size=4),
)
def test_what_is_taken_out_is_all_that_changes(names: dict[str, None], paths: list[str]) -> None:
    values = {name: VALUES[name] for name in names}
    left = without(values, map(RefusedOption, paths))
    tops = {path.partition(".")[0].partition("[")[0] for path in paths}
    assert {name: value for name, value in left.items() if name not in tops} == {
        name: value for name, value in values.items() if name not in tops
    }
    assert not any(path in left for path in paths)
    # Encoding it again is possible, and it says the same.
    Fields({"model": "m", **left})


# -- what is learned beside -------------------------------------------------------------------

ASKED = Request(Fields(VALUES), [make_item({"role": "user", "content": "Hi."})])


def learned(wire: dict[str, Any], known: ServerCapabilities | None = None, **more: Any) -> Any:
    found = understand(
        read_error(wire), ASKED, known or ServerCapabilities(), **{"continued": True, **more}
    )
    return found.lesson, found.error.failure


def test_a_server_that_does_not_continue() -> None:
    for wire in (
        unknown("previous_response_id"),
        validator("previous_response_id"),
        said("`previous_response_id` is not supported"),
        said("previous_response_id cannot be used without storage"),
    ):
        assert learned(wire) == (Capability.CONTINUATION, Failure.OPTION_REFUSED)


def test_a_server_that_has_forgotten_in_its_own_words() -> None:
    words = "Previous response with id 'resp_1' not found."
    for wire in (
        said(words, 404, param="previous_response_id"),
        said(f"previous_response_id: {words}"),
    ):
        lesson, failure = learned(wire)
        assert (lesson, failure) == (None, Failure.MEMORY_LOST)
    # Whatever it says, it has continued before.
    known = ServerCapabilities(continuation=True)
    odd = said("previous_response_id is of another region")
    assert learned(odd, known) == (None, Failure.MEMORY_LOST)
    assert learned(odd) == (Capability.CONTINUATION, Failure.OPTION_REFUSED)


def test_instructions_beside_what_is_continued() -> None:
    for wire in (
        said("`instructions` cannot be used together with `previous_response_id`"),
        said("x", param="instructions"),
    ):
        lesson = learned(wire)
        assert lesson == (Capability.INSTRUCTIONS_WHEN_CONTINUING, Failure.OPTION_REFUSED)
        assert learned(wire, continued=False) == (None, Failure.REQUEST)


def test_a_warm_up_in_a_validators_words() -> None:
    request = Request(ASKED.fields, ASKED.items, generate=False)
    error = read_error(validator("generate"))
    found = understand(error, request, ServerCapabilities(), continued=False)
    assert (found.lesson, found.error.failure) == (None, Failure.NO_WARM_UP)


def test_what_to_do_about_it() -> None:
    error = understand(
        read_error(unknown("store")), ASKED, ServerCapabilities(), continued=False
    ).error
    assert error.recovery is Recovery.WITHOUT_OPTION


# -- capabilities as a file -------------------------------------------------------------------


def test_capabilities_are_written_and_read(tmp_path: Path) -> None:
    known = ServerCapabilities(lanes=False, warm_up=True)
    known.learn(Capability.CANCEL, False, "It said no.")
    known.refuse(RefusedOption("store", "Unknown parameter"))
    known.refuse(RefusedOption("include", "No.", '"x"'))
    assert not known.refuse(RefusedOption("store", "again"))
    known.save(tmp_path / "server.json")
    read = ServerCapabilities.load(tmp_path / "server.json")
    assert read == known == ServerCapabilities.load(known.export())
    assert read.why == {"cancel": "It said no."}
    read.reset()
    assert read == ServerCapabilities()


def test_fields_may_be_named_only() -> None:
    read = ServerCapabilities.load({"format": 1, "refused_fields": ["store"], "lanes": None})
    assert read.refused == (RefusedOption("store"),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 2}',
        '{"format": 1, "lanes": 1}',
        '{"format":1,"refused_fields":[1]}',
    ],
)
def test_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    with pytest.raises(ValueError, match=r"capabilities|lanes|refused_fields"):
        ServerCapabilities.load(tmp_path / "server.json")
