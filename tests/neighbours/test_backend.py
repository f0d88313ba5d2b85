"""A service with another one behind it that does the work (``LLMWithBackend``)."""

from __future__ import annotations

from typing import Any

from pipecat.pipeline.llm_with_backend import LLMWithBackend
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams
from pipecat.workers.llm.backend_llm_worker import BackendLLMWorker

from pipecat_responses.sandbox import Answer, Call, Sandbox
from pipecat_responses.testing import VoiceKind
from tests.neighbours.support import ALL, SPOKEN_SERVICES, Sent, agree, calling, turns


async def weather(params: FunctionCallParams) -> None:
    """Tells the weather."""
    await params.result_callback("sunny")


def respond(given: Any) -> Answer | str:
    """The one in front delegates and reports; the one behind looks and says what is to be told."""
    newest = next(given.newest_first())
    in_front = any(tool["name"] == "delegate" for tool in given.tools)
    if newest.get("type") == "function_call_output":
        return "I am looking." if in_front else ">> It is sunny."
    if in_front and "weather" in str(newest["content"]) and newest["role"] == "user":
        return Answer([Call("delegate", {"request": "The weather?"})])
    if in_front:
        return f"So it is. {given.count}"
    return Answer([Call("weather")])


@SPOKEN_SERVICES
async def test_work_that_is_handed_on(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    front, behind = ALL[name](sandbox), ALL[name](sandbox)
    sandbox.config.responder = respond
    backend = BackendLLMWorker(llm=behind, context=LLMContext(tools=[weather]))
    async with calling(LLMWithBackend(frontend=front, backend=backend), tts=tts) as talk:
        await talk.say("Hello.")
        await talk.start("How is the weather?")
        # How many answers that takes is a matter of timing: what comes together is answered once.
        await talk.said.until(lambda: "So it is." in talk.said.text)
        await talk.play_all()
        await talk.say("Thanks.")
        in_front = [r for r in turns(sandbox) if "delegate" in str(r.body.get("tools"))]
        agree(in_front[-1], talk.context)
        assert any("Backend: It is sunny." in str(each) for each in talk.history)
    if name == "websocket":
        assert sent.by(front) == ["first", *["+"] * (len(in_front) - 1)]
        assert sent.by(behind) == ["first", "+"]
