"""What each kind of message gives, and what Pipecat's own adapter makes of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pipecat.adapters.llm.services import open_ai_responses_adapter as pipecat_adapter
from pipecat.processors.aggregators import async_tool_messages
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter
from tests.context.support import (
    IMAGE,
    PDF,
    assistant,
    call,
    call_item,
    converted,
    output_item,
    result,
    specific,
    tool_call,
    user,
)

# Messages, what they give, and whether Pipecat's own adapter gives the same.
MESSAGES: dict[str, tuple[list[Any], list[Any], bool]] = {
    "system": (
        [{"role": "system", "content": "Be kind."}],
        [{"role": "developer", "content": "Be kind."}],
        True,
    ),
    "developer": (
        [{"role": "developer", "content": [{"type": "text", "text": "Be kind."}]}],
        [{"role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]}],
        True,
    ),
    "user": ([user("Hello")], [{"role": "user", "content": "Hello"}], True),
    "empty user text": ([user("")], [{"role": "user", "content": ""}], True),
    "user parts": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image_url", "image_url": {"url": IMAGE}},
                    {"type": "image_url", "image_url": {"url": "https://x/a.png", "detail": "low"}},
                ],
            }
        ],
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look"},
                    {"type": "input_image", "image_url": IMAGE, "detail": "auto"},
                    {"type": "input_image", "image_url": "https://x/a.png", "detail": "low"},
                ],
            }
        ],
        True,
    ),
    "parts of the Responses API": (
        [
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "Hi"}, {"type": "new", "n": 1}],
            }
        ],
        [
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "Hi"}, {"type": "new", "n": 1}],
            }
        ],
        True,
    ),
    "audio": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
                ],
            }
        ],
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
                ],
            }
        ],
        True,
    ),
    "file": (
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "file_base64",
                        "file": {
                            "file_data": PDF,
                            "filename": "a.pdf",
                            "mime_type": "application/pdf",
                        },
                    }
                ],
            }
        ],
        [
            {
                "role": "user",
                "content": [{"type": "input_file", "filename": "a.pdf", "file_data": PDF}],
            }
        ],
        True,
    ),
    "image file": (
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "file_base64",
                        "file": {"file_data": IMAGE, "filename": "", "mime_type": "image/png"},
                    }
                ],
            }
        ],
        [
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": IMAGE, "detail": "auto"}],
            }
        ],
        # The API's reference calls `detail` required; Pipecat leaves it out here.
        False,
    ),
    "file URL": (
        [LLMContext.create_file_url_message(format="application/pdf", url="https://x/a.pdf")],
        [
            {
                "role": "user",
                "content": [{"type": "input_file", "file_url": "https://x/a.pdf"}],
            }
        ],
        True,
    ),
    "image URL": (
        [LLMContext.create_file_url_message(format="image/png", url="https://x/a.png")],
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": "https://x/a.png", "detail": "auto"}
                ],
            }
        ],
        False,
    ),
    "assistant": ([assistant("Hello")], [{"role": "assistant", "content": "Hello"}], True),
    "assistant part": (
        [{"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}],
        [{"role": "assistant", "content": "Hello"}],
        # Pipecat sends `input_text`, which the API refuses from the assistant.
        False,
    ),
    "assistant parts": (
        [
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "A"}, {"type": "input_text", "text": "B"}],
            }
        ],
        [
            {
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "A"},
                    {"type": "output_text", "text": "B"},
                ],
            }
        ],
        False,
    ),
    "refusal part": (
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        True,
    ),
    "refusal": (
        [{"role": "assistant", "content": None, "refusal": "No."}],
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        False,
    ),
    "text and refusal": (
        [{"role": "assistant", "content": "Hm.", "refusal": "No."}],
        [
            {
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "Hm."},
                    {"type": "refusal", "refusal": "No."},
                ],
            }
        ],
        False,
    ),
    "nothing said": (
        [
            user("Hi"),
            {"role": "assistant", "content": None},
            {"role": "assistant", "content": ""},
            {"role": "assistant", "content": [{"type": "text", "text": ""}]},
            {"role": "user", "content": None},
            {"role": "developer", "content": []},
        ],
        [{"role": "user", "content": "Hi"}],
        False,
    ),
    "call": (
        [call("c1"), result("c1")],
        [call_item("c1"), output_item("c1")],
        True,
    ),
    "call with empty content": (
        [{**call("c1"), "content": ""}, result("c1")],
        [call_item("c1"), output_item("c1")],
        True,
    ),
    "text and calls": (
        [
            {
                "role": "assistant",
                "content": "One moment.",
                "tool_calls": [tool_call("c1"), tool_call("c2")],
            },
            result("c1"),
            result("c2"),
        ],
        [
            {"role": "assistant", "content": "One moment."},
            call_item("c1"),
            call_item("c2"),
            output_item("c1"),
            output_item("c2"),
        ],
        # Pipecat loses the text.
        False,
    ),
    "arguments that are not text": (
        [call("c1", arguments={"a": 1}), result("c1"), call("c2", arguments=None), result("c2")],
        [
            {**call_item("c1"), "arguments": '{"a":1}'},
            output_item("c1"),
            {**call_item("c2"), "arguments": "{}"},
            output_item("c2"),
        ],
        False,
    ),
    "async tool": (
        [
            call("c1"),
            async_tool_messages.build_started_message("c1"),
            async_tool_messages.build_final_result_message("c1", "42"),
        ],
        [
            call_item("c1"),
            output_item("c1", async_tool_messages.build_started_message("c1")["content"]),
            {
                "role": "developer",
                "content": async_tool_messages.build_final_result_message("c1", "42")["content"],
            },
        ],
        True,
    ),
    "results": (
        [
            *[call(f"c{number}") for number in range(8)],
            result("c0", None),
            result("c1", {"a": [1, True, None]}),
            result("c2", 5),
            result("c3", [{"type": "text", "text": "one"}]),
            result("c4", [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]),
            result("c5", [{"type": "image_url", "image_url": {"url": IMAGE}}]),
            result("c6", [{"type": "text", "text": "one"}, 2]),
            result("c7", []),
        ],
        [
            *[call_item(f"c{number}") for number in range(8)],
            output_item("c0", ""),
            output_item("c1", '{"a":[1,true,null]}'),
            output_item("c2", "5"),
            output_item("c3", "one"),
            output_item(
                "c4",
                [{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}],
            ),
            output_item("c5", [{"type": "input_image", "image_url": IMAGE, "detail": "auto"}]),
            output_item("c6", '[{"type":"text","text":"one"},2]'),
            output_item("c7", "[]"),
        ],
        False,
    ),
    "reasoning": (
        [
            specific(
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "Hm"}],
                    "encrypted_content": "xyz",
                    "status": "completed",
                }
            ),
            assistant("Yes"),
        ],
        [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm"}],
                "encrypted_content": "xyz",
            },
            {"role": "assistant", "content": "Yes"},
        ],
        True,
    ),
    "reasoning without an id": (
        [specific({"type": "reasoning"}), assistant("Yes")],
        [{"type": "reasoning", "summary": []}, {"role": "assistant", "content": "Yes"}],
        False,
    ),
    "an item as it is": (
        [specific({"type": "web_search_call", "id": "ws_1", "status": "completed"})],
        [{"type": "web_search_call", "id": "ws_1", "status": "completed"}],
        True,
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
async def test_every_kind_of_message(adapter: OpenAIResponsesLLMAdapter, name: str) -> None:
    messages, expected, as_pipecat = MESSAGES[name]
    before = copy.deepcopy(messages)
    assert await converted(adapter, messages) == expected
    assert messages == before
    theirs = await pipecat_adapter.OpenAIResponsesLLMAdapter().get_llm_invocation_params(
        LLMContext(messages)
    )
    assert (theirs["input"] == expected) == as_pipecat


async def test_messages_for_other_llms_are_left_out_with_one_warning(
    adapter: OpenAIResponsesLLMAdapter, warnings: list[str]
) -> None:
    messages = [user("Hi"), specific({"x": object()}, "google"), specific({}, "google")]
    for _ in range(2):
        assert await converted(adapter, messages) == [{"role": "user", "content": "Hi"}]
    assert len(warnings) == 1
    assert "'google'" in warnings[0]
