"""Frames as Pipecat expects them, over both transports."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger
from pipecat.adapters.llm.schemas.direct_function import DirectFunction
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import AdapterType, ToolsSchema
from pipecat.frames.frames import (
    FunctionCallInProgressFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMMarkerFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
    LLMThoughtEndFrame,
    LLMThoughtStartFrame,
    LLMThoughtTextFrame,
    LLMUpdateSettingsFrame,
    SystemFrame,
)
from pipecat.metrics.metrics import (
    LLMUsageMetricsData,
    ProcessingMetricsData,
    TTFATMetricsData,
    TTFBMetricsData,
)
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage
from pipecat.services.llm_service import FunctionCallParams
from pipecat.utils.errors import ErrorCategory

from pipecat_responses.sandbox import Answer, Call, Fault, Reasoning, Refusal, Sandbox, Text
from pipecat_responses.testing import Conversation
from tests.support.contexts import messages_of
from tests.support.history import of_context, of_items
from tests.support.services import SERVICES


@pytest.fixture(params=SERVICES)
def make(request: pytest.FixtureRequest) -> Any:
    return SERVICES[request.param]


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """Log records of warnings and worse."""
    records: list[Any] = []
    sink = logger.add(lambda message: records.append(message.record), level="INFO")
    yield records
    logger.remove(sink)


def kinds(talk: Conversation) -> list[str]:
    return [type(f).__name__ for f in talk.said.frames if not isinstance(f, SystemFrame)]


async def test_start_text_end(sandbox: Sandbox, make: Any) -> None:
    sandbox.script("Good morning.")
    llm = make(sandbox, batch_deltas=False)
    async with Conversation(llm, tts=None) as talk:
        assert await talk.say("hello") == "Good morning."
        wanted = (LLMFullResponseStartFrame, LLMTextFrame, LLMFullResponseEndFrame)
        frames = [f for f in talk.said.frames if isinstance(f, wanted)]
        assert isinstance(frames[0], LLMFullResponseStartFrame)
        assert isinstance(frames[-1], LLMFullResponseEndFrame)
        texts = [f for f in frames if isinstance(f, LLMTextFrame)]
        assert frames[1:-1] == texts
        assert [f.text for f in texts] == ["Good", " morning."]


async def test_metrics(sandbox: Sandbox, make: Any) -> None:
    llm = make(sandbox)
    async with Conversation(llm, tts=None) as talk:
        await talk.say("hello")
        await talk.say("hello again")
        for kind in (TTFBMetricsData, TTFATMetricsData, ProcessingMetricsData):
            assert sum(isinstance(d, kind) for d in talk.metrics) >= 2, kind
        usage = [d for d in talk.metrics if isinstance(d, LLMUsageMetricsData)]
        assert len(usage) == 2
        assert usage[-1].model == "gpt-4.1"
        tokens = usage[-1].value
        assert tokens.prompt_tokens > 0
        assert tokens.completion_tokens > 0
        assert tokens.total_tokens == tokens.prompt_tokens + tokens.completion_tokens


async def test_usage_without_details_counts_as_nothing(sandbox: Sandbox, make: Any) -> None:
    sandbox.config.usage_details = False
    llm = make(sandbox)
    async with Conversation(llm, tts=None) as talk:
        await talk.say("hello")
        [usage] = [d for d in talk.metrics if isinstance(d, LLMUsageMetricsData)]
        assert usage.value.prompt_tokens > 0
        assert usage.value.cache_read_input_tokens == usage.value.reasoning_tokens == 0
        assert not talk.errors


async def test_a_refusal_is_spoken(sandbox: Sandbox, make: Any) -> None:
    sandbox.script(Answer([Refusal("I cannot help with that.")]))
    llm = make(sandbox)
    async with Conversation(llm, tts=None) as talk:
        assert await talk.say("help me") == "I cannot help with that."
        await talk.say("and now?")
        assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
        assert not talk.errors


async def test_text_cut_by_the_token_limit_is_kept(
    sandbox: Sandbox, make: Any, logged: list[Any]
) -> None:
    llm = make(sandbox)
    settings = llm.Settings(max_completion_tokens=16, max_tokens=99)
    async with Conversation(llm, tts=None) as talk:
        await talk.worker.queue_frame(LLMUpdateSettingsFrame(delta=settings))
        heard = await talk.say("count to 100")
        assert heard.startswith("1, 2, 3")
        assert sandbox.requests[-1].body["max_output_tokens"] == 16
        assert sandbox.requests[-1].outcome == "incomplete"
        assert not talk.errors
        assert any("incomplete" in r["message"] for r in logged if r["level"].name == "WARNING")
        await talk.say("go on")
        assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]


async def test_thoughts_and_reasoning_items(sandbox: Sandbox, make: Any) -> None:
    llm = make(sandbox)
    config = llm.ReasoningConfig(effort="medium", summary="auto")
    async with Conversation(llm, tts=None) as talk:
        await talk.worker.queue_frame(
            LLMUpdateSettingsFrame(delta=llm.Settings(model="gpt-5", reasoning=config))
        )
        for number in range(3):
            await talk.say(f"think about {number}")
            assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-2]
            reasoning, answer = messages_of(talk.context)[-2:]
            assert isinstance(reasoning, LLMSpecificMessage)
            assert reasoning.message["encrypted_content"]
            assert answer["role"] == "assistant"
        assert sandbox.requests[-1].body["include"] == ["reasoning.encrypted_content"]
        assert sandbox.requests[-1].body["reasoning"] == {"effort": "medium", "summary": "auto"}
        assert not talk.errors
        seen = kinds(talk)
        first = seen.index("LLMThoughtStartFrame")
        assert seen[first : seen.index("LLMThoughtEndFrame") + 1].count("LLMThoughtTextFrame") >= 1
        assert seen.index("LLMThoughtEndFrame") < seen.index("LLMTextFrame")
        count = [
            sum(isinstance(f, k) for f in talk.said.frames)
            for k in (LLMThoughtStartFrame, LLMThoughtEndFrame)
        ]
        assert count == [3, 3]
        assert any(isinstance(f, LLMThoughtTextFrame) for f in talk.said.frames)
    if sandbox.requests[0].transport == "websocket":
        assert [r.incremental for r in sandbox.requests] == [False, True, True]


async def test_reasoning_cut_off_before_its_answer_is_not_kept(sandbox: Sandbox, make: Any) -> None:
    sandbox.script(Answer([Reasoning(["hm"], encrypted_content=None), Text("")]), "fine")
    llm = make(sandbox)
    config = llm.ReasoningConfig(effort="low", summary="auto")
    async with Conversation(llm, tts=None) as talk:
        await talk.worker.queue_frame(
            LLMUpdateSettingsFrame(delta=llm.Settings(model="gpt-5", reasoning=config))
        )
        # The first answer is empty, so it is asked for again.
        assert await talk.say("hello") == "fine"
        assert not talk.errors
        kept = [m for m in talk.context.messages if isinstance(m, LLMSpecificMessage)]
        assert len(kept) == 1
        assert of_items(sandbox.requests[-1].history) == [("user", "hello")]


async def test_the_least_reasoning_is_asked_for(
    sandbox: Sandbox, make: Any, logged: list[Any]
) -> None:
    llm = make(sandbox)
    async with Conversation(llm, tts=None) as talk:
        for model, effort in (("gpt-5", "minimal"), ("gpt-5.1", "none"), ("gpt-4.1", None)):
            await talk.worker.queue_frame(LLMUpdateSettingsFrame(delta=llm.Settings(model=model)))
            await talk.say("hello")
            await talk.say("hello")
            assert (sandbox.requests[-1].body.get("reasoning") or {}).get("effort") == effort
        assert not talk.errors
    about = [r["message"] for r in logged if "least reasoning" in r["message"]]
    assert len(about) == 2


async def test_settings_without_a_field_warn_once(
    sandbox: Sandbox, make: Any, logged: list[Any]
) -> None:
    llm = make(sandbox)
    delta = llm.Settings(
        top_k=5, seed=1, temperature=0.3, top_p=0.9, extra={"metadata": {"a": "b"}}
    )
    async with Conversation(llm, tts=None) as talk:
        await talk.worker.queue_frame(LLMUpdateSettingsFrame(delta=delta))
        await talk.say("hello")
        await talk.say("hello")
        body = sandbox.requests[-1].body
        assert (body["temperature"], body["top_p"], body["metadata"]) == (0.3, 0.9, {"a": "b"})
        assert not {"top_k", "seed", "frequency_penalty"} & body.keys()
    for name in ("top_k", "seed"):
        assert len([r for r in logged if f"`{name}`" in r["message"]]) == 1


async def test_a_system_instruction_alone(sandbox: Sandbox, make: Any) -> None:
    llm = make(sandbox, settings=None)
    async with Conversation(llm, tts=None) as talk:
        await talk.worker.queue_frame(
            LLMUpdateSettingsFrame(delta=llm.Settings(system_instruction="Greet the user."))
        )
        await talk.push_context()
        await talk.answer_ends()
        assert sandbox.requests[0].input == [{"role": "developer", "content": "Greet the user."}]
        assert "instructions" not in sandbox.requests[0].body
        await talk.settle()
        await talk.say("hello")
        assert sandbox.requests[1].body["instructions"] == "Greet the user."
        assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
        assert not talk.errors


async def test_a_message_that_cannot_be_sent(sandbox: Sandbox, make: Any) -> None:
    llm = make(sandbox)
    async with Conversation(llm, tts=None) as talk:
        message: Any = {"role": "user", "content": object()}
        talk.context.add_message(message)
        await talk.start("hello")
        await talk.answer_ends()
        [error] = talk.errors
        assert "message 0" in error.error
        assert "'user'" in error.error
        assert error.category is ErrorCategory.APPLICATION
        assert llm.is_usable
        del talk.context.messages[0]
        await talk.settle()
        assert await talk.say("hello again")
        assert talk.starts == talk.ends == 2


# -- tools ----------------------------------------------------------------------------------------


def tools(**handlers: Any) -> list[FunctionSchema | DirectFunction]:
    return [
        FunctionSchema(name, f"Runs {name}.", {"what": {"type": "string"}}, ["what"], handler)
        for name, handler in handlers.items()
    ]


async def test_tools_run_in_parallel(sandbox: Sandbox, make: Any) -> None:
    both = asyncio.Barrier(2)
    seen: dict[str, Any] = {}

    async def handler(params: FunctionCallParams) -> None:
        seen[params.function_name] = dict(params.arguments)
        async with asyncio.timeout(5):
            await both.wait()
        await params.result_callback({"ok": params.function_name})

    context = LLMContext(tools=tools(one=handler, two=handler))
    sandbox.script(Answer(["Let me see.", Call("one", {"what": "a"}), Call("two", {"what": "b"})]))
    llm = make(sandbox)
    async with Conversation(llm, context, tts=None) as talk:
        await talk.say("go", ends=2)
        assert seen == {"one": {"what": "a"}, "two": {"what": "b"}}
        assert of_items(sandbox.requests[-1].history) == of_context(context)[:-1]
        assert context.messages[1] == {"role": "assistant", "content": "Let me see."}
        assert not talk.errors
    body = sandbox.requests[0].body
    assert body["tools"][0] == {
        "type": "function",
        "name": "one",
        "description": "Runs one.",
        "parameters": {
            "type": "object",
            "properties": {"what": {"type": "string"}},
            "required": ["what"],
        },
        "strict": None,
    }


@pytest.mark.parametrize("arguments", ["{not json", "[1, 2]", '"text"'])
async def test_arguments_that_cannot_be_read(sandbox: Sandbox, make: Any, arguments: str) -> None:
    ran = []

    async def handler(params: FunctionCallParams) -> None:
        ran.append(dict(params.arguments))
        await params.result_callback("done")

    context = LLMContext(tools=tools(one=handler, two=handler))
    sandbox.script(
        Answer([Call("one", arguments), Call("two", {"what": "b"})]),
        Answer([Call("one", arguments)]),
    )
    llm = make(sandbox)
    async with Conversation(llm, context, tts=None) as talk:
        # One bad and one good call, then a bad one alone, then words.
        assert await talk.say("go", ends=3)
        assert ran == [{"what": "b"}]
        outputs = [m["content"] for m in messages_of(context) if m.get("role") == "tool"]
        assert sum("not a JSON object" in output for output in outputs) == 2
        assert of_items(sandbox.requests[-1].history) == of_context(context)[:-1]
        assert not talk.errors


async def test_tool_choice_and_custom_tools(sandbox: Sandbox, make: Any) -> None:
    async def handler(params: FunctionCallParams) -> None:
        await params.result_callback("12:30")

    context = LLMContext(
        tools=ToolsSchema(
            standard_tools=tools(get_time=handler),
            custom_tools={AdapterType.OPENAI: [{"type": "web_search"}]},
        ),
        tool_choice="none",
    )
    llm = make(sandbox)
    async with Conversation(llm, context, tts=None) as talk:
        await talk.say("what time is it?")
        body = sandbox.requests[-1].body
        assert body["tool_choice"] == "none"
        assert body["tools"][1] == {"type": "web_search"}
        assert not any(isinstance(f, FunctionCallInProgressFrame) for f in talk.said.frames)
        context.set_tool_choice({"type": "function", "function": {"name": "get_time"}})
        await talk.start("now, please")
        await talk.answer_ends()
        assert sandbox.requests[-1].body["tool_choice"] == {"type": "function", "name": "get_time"}


# -- beside the conversation -----------------------------------------------------------------------


async def test_run_inference(sandbox: Sandbox, make: Any) -> None:
    llm = make(sandbox)
    context = LLMContext([{"role": "user", "content": "What is the capital of France?"}])
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    async with Conversation(llm, tts=None) as talk:
        answer = await llm.run_inference(
            context, max_tokens=64, system_instruction="Answer briefly.", response_schema=schema
        )
        assert answer is not None
        assert "city" in answer
        body = sandbox.requests[-1].body
        assert body["max_output_tokens"] == 64
        assert body["instructions"] == "Answer briefly."
        assert body["text"]["format"]["schema"] == schema
        assert body["text"]["format"]["strict"] is True
        assert talk.starts == 0


async def test_run_inference_without_a_pipeline(sandbox: Sandbox, make: Any) -> None:
    llm = make(sandbox)
    context = LLMContext([{"role": "user", "content": "hello"}])
    assert await llm.run_inference(context)
    assert sandbox.requests[-1].transport == "http"
    await llm.cleanup()


async def test_context_summarization(sandbox: Sandbox, make: Any) -> None:
    from pipecat.frames.frames import LLMContextSummaryRequestFrame, LLMContextSummaryResultFrame

    llm = make(sandbox)
    async with Conversation(llm, tts=None) as talk:
        for number in range(4):
            await talk.say(f"fact {number}")
        await talk.worker.queue_frame(
            LLMContextSummaryRequestFrame(
                request_id="r1",
                context=talk.context,
                min_messages_to_keep=2,
                target_context_tokens=200,
                summarization_prompt="Summarise.",
            )
        )
        await talk.said.until(
            lambda: any(isinstance(f, LLMContextSummaryResultFrame) for f in talk.said.frames)
        )
        [result] = [f for f in talk.said.frames if isinstance(f, LLMContextSummaryResultFrame)]
        assert result.summary
        assert result.error is None


async def test_turn_completion_filtering(sandbox: Sandbox, make: Any) -> None:
    sandbox.script("● Hello there.", "○")
    llm = make(sandbox)
    async with Conversation(llm, tts=None) as talk:
        await talk.worker.queue_frame(
            LLMUpdateSettingsFrame(delta=llm.Settings(filter_incomplete_user_turns=True))
        )
        await talk.settle()
        heard = await talk.say("hello")
        assert "●" not in heard
        assert "Hello there." in heard
        assert any(isinstance(f, LLMMarkerFrame) for f in talk.said.frames)
        assert await talk.say("and I wanted to") == ""
        assert not talk.errors


async def test_messages_queue_in_order(sandbox: Sandbox, make: Any) -> None:
    llm = make(sandbox)
    async with Conversation(llm, tts=None) as talk:
        await talk.worker.queue_frames(
            [
                LLMMessagesAppendFrame([{"role": "user", "content": "one"}], run_llm=True),
                LLMMessagesAppendFrame([{"role": "user", "content": "two"}], run_llm=True),
            ]
        )
        await talk.answer_ends(2)
        assert talk.starts == talk.ends == 2
        assert not talk.errors


async def test_reasoning_that_the_server_cannot_read_is_left_out_once(
    sandbox: Sandbox, make: Any
) -> None:
    llm = make(sandbox)
    reasoning = {
        "type": "reasoning",
        "id": "rs_of_another_account",
        "summary": [],
        "encrypted_content": "sealed",
    }
    context = LLMContext(
        [
            {"role": "user", "content": "hello"},
            llm.create_llm_specific_message(reasoning),
            {"role": "assistant", "content": "Hi."},
        ]
    )
    params = {"status": 400, "code": "invalid_encrypted_content", "message": "Not verified."}
    sandbox.faults.add(Fault("error", params=params))
    async with Conversation(llm, context, tts=None) as talk:
        assert await talk.say("one")
        assert await talk.say("two")
        assert not talk.errors
    kinds = [[item.get("type") for item in r.history] for r in sandbox.requests]
    assert ["reasoning" in each for each in kinds[-2:]] == [False, False]
    assert len(sandbox.requests) <= 3
