"""Images: of the user, and as results of functions."""

from __future__ import annotations

from typing import Any

from pipecat.frames.frames import (
    FunctionCallResultProperties,
    LLMMessagesAppendFrame,
    UserImageRawFrame,
    UserImageRequestFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses.sandbox import Answer, Call, Sandbox
from pipecat_responses.testing import VoiceKind
from tests.neighbours.support import (
    ALL,
    SERVICES,
    SPOKEN_SERVICES,
    Sent,
    agree,
    answered,
    calling,
    rows,
    turns,
)


def image(**kwargs: Any) -> UserImageRawFrame:
    """A red square, two by two."""
    return UserImageRawFrame(
        image=b"\xff\x00\x00" * 4,
        size=(2, 2),
        format="RGB",
        user_id="user",
        append_to_context=True,
        **kwargs,
    )


class Camera(FrameProcessor):
    """Takes a picture when one is asked for."""

    async def process_frame(self, frame: Any, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, UserImageRequestFrame):
            await self.push_frame(image(text=frame.text, request=frame))
        else:
            await self.push_frame(frame, direction)


@SPOKEN_SERVICES
async def test_of_the_user(sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind) -> None:
    llm = ALL[name](sandbox)
    sandbox.script("Hi.", "That is red.", "Yes, red.", "Bye.")
    async with calling(llm, tts=tts) as talk:
        await talk.say("Hello.")
        await answered(talk, talk.worker.queue_frame(image(text="What is this?")))
        agree(turns(sandbox)[-1], talk.context)
        await talk.worker.queue_frame(image(run_llm=False))
        await talk.settle()
        await talk.say("And this?")
        agree(turns(sandbox)[-1], talk.context)
        await talk.say("Good.")
        agree(turns(sandbox)[-1], talk.context)
    shown = [p["type"] for item in turns(sandbox)[-1].history for p in _parts(item)]
    assert shown.count("input_image") == 2
    table = {"websocket": ["first", "+", "+", "+"], "pipecat": ["full", "+", "+", "+"]}
    assert sent.of(llm, sandbox) == rows(table, name)


def _parts(item: dict[str, Any]) -> list[dict[str, Any]]:
    content = item.get("content")
    return content if isinstance(content, list) else []


@SPOKEN_SERVICES
async def test_as_the_result_of_a_function(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    async def look(params: FunctionCallParams) -> None:
        """Looks through the user's camera."""
        await params.llm.push_frame(
            UserImageRequestFrame(
                user_id="user",
                text="What do you see?",
                append_to_context=True,
                function_name=params.function_name,
                tool_call_id=params.tool_call_id,
                result_callback=params.result_callback,
            ),
            FrameDirection.DOWNSTREAM,
        )

    llm = ALL[name](sandbox)
    sandbox.script(Answer(["Let me see.", Call("look")]), "It is red.", "Bye.")
    context = LLMContext(tools=[look])
    async with calling(llm, context, tts=tts, extra=[Camera()]) as talk:
        await talk.say("Look.", ends=2)
        agree(turns(sandbox)[-1], talk.context)
        await talk.say("Thanks.")
        agree(turns(sandbox)[-1], talk.context)
    table = {"websocket": ["first", "+", "+"], "pipecat": ["full", "+", "+"]}
    assert sent.of(llm, sandbox) == rows(table, name)


@SERVICES
async def test_added_by_a_function_beside_its_result(
    sandbox: Sandbox, sent: Sent, name: str
) -> None:
    async def chart(params: FunctionCallParams) -> None:
        """Draws a chart."""
        message = await LLMContext.create_image_message(
            format="RGB", size=(2, 2), image=b"\x00\xff\x00" * 4, text="The chart:"
        )
        await params.result_callback(
            "drawn", properties=FunctionCallResultProperties(run_llm=False)
        )
        await params.llm.push_frame(LLMMessagesAppendFrame([message], run_llm=True))

    llm = ALL[name](sandbox)
    sandbox.script(Answer([Call("chart")]), "It goes up.", "Bye.")
    async with calling(llm, LLMContext(tools=[chart])) as talk:
        await talk.say("Draw.", ends=2)
        agree(turns(sandbox)[-1], talk.context)
        await talk.say("Thanks.")
        agree(turns(sandbox)[-1], talk.context)
    table = {"websocket": ["first", "+", "+"], "pipecat": ["full", "+", "+"]}
    assert sent.of(llm, sandbox) == rows(table, name)
