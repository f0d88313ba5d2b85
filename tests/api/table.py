"""What the SDK's types know of the API, and what this package does about each of it.

``python -m tests.api.table > docs/api.md`` writes it down for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

HEAD = """\
# The API, and what becomes of it

Everything that OpenAI's SDK (3.57) knows of the Responses API, and what this package does about it.
A test holds each table against the SDK's types and against the code (`tests/api/test_table.py`).
The tables are written from what it checks (`python -m tests.api.table > docs/api.md`).

A field, an item or an event that is newer than the tables is not lost: fields go out through
`extra`, items are kept, events are signs of life.
"""


class FieldUse(StrEnum):
    """Where a request's field comes from."""

    CONTEXT = "the context"
    SETTINGS = "the settings"
    MORE_SETTINGS = "the settings, where given"
    SESSION = "the session's own: not taken from `extra`"
    ALWAYS_FALSE = "`false`; `store` in `extra` has responses stored, and continued by ids"
    REASONING = "the settings; encrypted reasoning is added where a model reasons"
    EXTRA = "the settings' `extra`"


class EventUse(StrEnum):
    """What an event becomes."""

    TEXT = "text frames"
    THOUGHT = "thought frames"
    CALL = "the arguments of a call that runs here"
    ITEM = "begins or completes an item"
    RESPONSE = "begins or ends the response"
    STEER = "whether the answer takes up what was said meanwhile, or a request has to"
    ERROR = "an error: tried again, resumed, or reported"
    ALIVE = "a sign of life; what it tells comes again with the finished item"


class OutputUse(StrEnum):
    """What becomes of an item that the model puts out."""

    SPOKEN = "spoken; Pipecat's aggregators write it into the context"
    RUN = "runs by its handler; Pipecat's aggregators write it into the context"
    RUN_OR_KEPT = "runs by its handler if the request declared the tool; kept in the context"
    REASONING = "kept if it is encrypted, and goes back right before what it led to"
    COMPACTION = "kept in the context; where everything is sent, that begins at the latest"
    KEPT = "kept in the context as it came, and goes back unchanged"


class InputUse(StrEnum):
    """What in a context becomes an input item."""

    MESSAGE = "a message of a user, a developer, a system or an assistant"
    CALL = "an assistant's `tool_calls`"
    OUTPUT = "a `tool` message"
    CUSTOM_OUTPUT = "a `tool` message that answers a custom tool's call"
    SPECIFIC = "an `LLMSpecificMessage` for `openai_responses` that holds it"


FIELDS: Mapping[str, FieldUse] = {
    "access_programs": FieldUse.EXTRA,
    "background": FieldUse.SESSION,
    "background_options": FieldUse.EXTRA,
    "context_management": FieldUse.MORE_SETTINGS,
    "conversation": FieldUse.SESSION,
    "generate": FieldUse.SESSION,
    "image": FieldUse.EXTRA,
    "include": FieldUse.REASONING,
    "input": FieldUse.SESSION,
    "instructions": FieldUse.SETTINGS,
    "max_output_tokens": FieldUse.SETTINGS,
    "max_tool_calls": FieldUse.MORE_SETTINGS,
    "metadata": FieldUse.MORE_SETTINGS,
    "model": FieldUse.SETTINGS,
    "moderation": FieldUse.EXTRA,
    "parallel_tool_calls": FieldUse.MORE_SETTINGS,
    "previous_response_id": FieldUse.SESSION,
    "prompt": FieldUse.EXTRA,
    "prompt_cache_key": FieldUse.MORE_SETTINGS,
    "prompt_cache_options": FieldUse.MORE_SETTINGS,
    "prompt_cache_retention": FieldUse.EXTRA,
    "reasoning": FieldUse.SETTINGS,
    "safety_identifier": FieldUse.MORE_SETTINGS,
    "service_tier": FieldUse.MORE_SETTINGS,
    "store": FieldUse.ALWAYS_FALSE,
    "stream": FieldUse.SESSION,
    "stream_id": FieldUse.SESSION,
    "stream_options": FieldUse.EXTRA,
    "temperature": FieldUse.SETTINGS,
    "text": FieldUse.MORE_SETTINGS,
    "tool_choice": FieldUse.CONTEXT,
    "tools": FieldUse.CONTEXT,
    "top_logprobs": FieldUse.MORE_SETTINGS,
    "top_p": FieldUse.SETTINGS,
    "truncation": FieldUse.MORE_SETTINGS,
    "type": FieldUse.SESSION,
    "user": FieldUse.EXTRA,
}

_ALIVE = """
response.audio.delta response.audio.done
response.audio.transcript.delta response.audio.transcript.done
response.code_interpreter_call_code.delta response.code_interpreter_call_code.done
response.code_interpreter_call.completed response.code_interpreter_call.in_progress
response.code_interpreter_call.interpreting
response.compaction.compacting
response.content_part.added response.content_part.done
response.custom_tool_call_input.done
response.file_search_call.completed response.file_search_call.in_progress
response.file_search_call.searching
response.image_generation_call.completed response.image_generation_call.generating
response.image_generation_call.in_progress response.image_generation_call.partial_image
response.mcp_call_arguments.delta response.mcp_call_arguments.done
response.mcp_call.completed response.mcp_call.failed response.mcp_call.in_progress
response.mcp_list_tools.completed response.mcp_list_tools.failed
response.mcp_list_tools.in_progress
response.output_text.annotation.added
response.queued
response.reasoning_summary_part.added response.reasoning_summary_part.done
response.reasoning_summary_text.done response.reasoning_text.done
response.shell_call_command.added response.shell_call_command.delta
response.shell_call_command.done
response.shell_call_output_content.delta response.shell_call_output_content.done
response.web_search_call.completed response.web_search_call.in_progress
response.web_search_call.searching
"""

EVENTS: Mapping[str, EventUse] = {
    "error": EventUse.ERROR,
    "response.completed": EventUse.RESPONSE,
    "response.created": EventUse.RESPONSE,
    "response.custom_tool_call_input.delta": EventUse.CALL,
    "response.failed": EventUse.RESPONSE,
    "response.function_call_arguments.delta": EventUse.CALL,
    "response.function_call_arguments.done": EventUse.CALL,
    "response.in_progress": EventUse.RESPONSE,
    "response.incomplete": EventUse.RESPONSE,
    "response.output_item.added": EventUse.ITEM,
    "response.output_item.done": EventUse.ITEM,
    "response.output_text.delta": EventUse.TEXT,
    "response.output_text.done": EventUse.TEXT,
    "response.reasoning_summary_text.delta": EventUse.THOUGHT,
    "response.reasoning_text.delta": EventUse.THOUGHT,
    "response.refusal.delta": EventUse.TEXT,
    "response.refusal.done": EventUse.TEXT,
    "response.steer.accepted": EventUse.STEER,
    "response.steer.failed": EventUse.STEER,
    "response.steer.pending": EventUse.STEER,
    **dict.fromkeys(_ALIVE.split(), EventUse.ALIVE),
}

_KEPT = """
additional_tools apply_patch_call apply_patch_call_output code_interpreter_call computer_call
computer_call_output custom_tool_call_output file_search_call image_generation_call local_shell_call
local_shell_call_output mcp_approval_request mcp_approval_response mcp_call mcp_list_tools program
program_output shell_call shell_call_output tool_search_call tool_search_output web_search_call
"""

OUTPUT: Mapping[str, OutputUse] = {
    "compaction": OutputUse.COMPACTION,
    "custom_tool_call": OutputUse.RUN_OR_KEPT,
    "function_call": OutputUse.RUN,
    "function_call_output": OutputUse.KEPT,
    "message": OutputUse.SPOKEN,
    "reasoning": OutputUse.REASONING,
    **dict.fromkeys(_KEPT.split(), OutputUse.KEPT),
}

INPUT: Mapping[str, InputUse] = {
    "message": InputUse.MESSAGE,
    "function_call": InputUse.CALL,
    "function_call_output": InputUse.OUTPUT,
    "custom_tool_call_output": InputUse.CUSTOM_OUTPUT,
    **dict.fromkeys(
        [
            *(name for name in _KEPT.split() if name != "custom_tool_call_output"),
            *("compaction", "compaction_trigger", "configuration_update", "custom_tool_call"),
            *("item_reference", "reasoning"),
        ],
        InputUse.SPECIFIC,
    ),
}

SECTIONS: tuple[tuple[str, str, str, Mapping[str, StrEnum]], ...] = (
    ("Fields of a request", "field", "where it comes from", FIELDS),
    ("Events", "event", "what it becomes", EVENTS),
    ("Items that the model puts out", "item", "what becomes of it", OUTPUT),
    ("Items of the input", "item", "what in a context becomes it", INPUT),
)


def document() -> str:
    """The tables for people."""
    parts = [HEAD]
    for title, what, use, table in SECTIONS:
        parts.append(f"\n## {title}\n\n| {what} | {use} |\n| --- | --- |\n")
        parts += [f"| `{name}` | {table[name].value} |\n" for name in sorted(table)]
    return "".join(parts)


if __name__ == "__main__":
    print(document(), end="")
