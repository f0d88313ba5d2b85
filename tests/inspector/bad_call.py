"""A call in which much goes wrong: what the page must explain to somebody who was not there.

``python -m tests.inspector.bad_call FILE`` records it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses import Inspector, OpenAIResponsesLLMService
from pipecat_responses.sandbox import Answer, Call, Fault, Sandbox
from pipecat_responses.testing import Conversation

INSTRUCTIONS = "You take bookings for the restaurant Olive Tree. Answer briefly."
KNOWN = "The caller is a guest, and the kitchen closes at ten."
CORRECTED = "The caller is a regular guest, and the kitchen closes at eleven."
MENU = (
    "We have three menus. The first has soup, grilled bream and lemon sorbet. The second has "
    "salad, roast lamb with rosemary and a tart with figs. The third has no meat at all."
)
TRAM = "The last tram leaves at half past midnight, from the lighthouse too."
ADDRESS = (
    "We are at Harbour Street nineteen, between the old lighthouse and the fish market. "
    "If you come by tram, get off at the lighthouse, and we are on your left."
)

FREE_TABLES = FunctionSchema(
    "free_tables",
    "Tells which tables are free",
    properties={"day": {"type": "string"}, "guests": {"type": "integer"}},
    required=["day", "guests"],
)


async def record(folder: Path, *, pause_secs: float = 0.0, slow_secs: float = 2.6) -> Path:
    """Holds the call, and records it.

    Args:
        folder: Where the file goes.
        pause_secs: Seconds that the caller takes to speak.
        slow_secs: Seconds that the server takes to the first text of the slow turn.

    Returns:
        The file.
    """
    async with Sandbox() as sandbox:
        sandbox.config.tokens_per_second = 40
        sandbox.config.time_to_first_token = 0.25
        llm = OpenAIResponsesLLMService(
            api_key="any",
            base_url=sandbox.base_url,
            settings=OpenAIResponsesLLMService.Settings(
                model="gpt-4.1", system_instruction=INSTRUCTIONS
            ),
        )
        llm.register_function("free_tables", _free_tables)
        context = LLMContext(
            [{"role": "developer", "content": KNOWN}],
            tools=ToolsSchema(standard_tools=[FREE_TABLES]),
        )
        talk = Conversation(llm, context, tts="word", paced=True)
        async with Inspector(llm, record=folder), talk:
            await talk.ready()
            await _hold(talk, sandbox, pause_secs, slow_secs)
    (file,) = folder.glob("*.jsonl")  # noqa: ASYNC240
    return file


async def _free_tables(params: FunctionCallParams) -> None:
    await params.result_callback({"free": ["19:00", "20:30"]})


async def _hold(talk: Conversation, sandbox: Sandbox, pause_secs: float, slow_secs: float) -> None:
    async def says(text: str, *, ends: int = 1) -> None:
        await asyncio.sleep(pause_secs)
        await talk.say(text, ends=ends)

    sandbox.script("Olive Tree, good evening. What can I do for you?")
    await says("Good evening!")

    sandbox.script(
        Call("free_tables", {"day": "Friday", "guests": 4}),
        "On Friday there is a table for four at seven, and one at half past eight.",
    )
    await says("Do you have a table for four on Friday?", ends=2)

    # The caller interrupts the bot.
    sandbox.script(MENU)
    await asyncio.sleep(pause_secs)
    await talk.start("Half past eight, please. And what is on the menu?")
    await talk.text_arrives(16)
    await talk.play(2.0)
    await talk.interrupt()
    sandbox.script("Yes, the third menu has no meat at all.")
    await says("Sorry, just tell me: is there anything without meat?")

    # The connection breaks off while the bot speaks.
    sandbox.script(ADDRESS, "get off at the lighthouse, and we are on your left.")
    sandbox.faults.add(Fault("reset", "text", after=20))
    await says("Good. Where are you?")

    sandbox.script(TRAM)
    await says("Is there a tram at night?")

    # The application changes what stands at the beginning of the conversation.
    first: Any = talk.context.get_messages()[0]
    first["content"] = CORRECTED
    sandbox.script("Until eleven, so there is time enough.")
    await says("And until when does the kitchen serve?")

    # The server takes its time.
    sandbox.script(Answer("Yes, right behind the house.", time_to_first_token=slow_secs))
    await says("Is there a place to park?")

    sandbox.script("Thank you, we look forward to seeing you on Friday.")
    await says("Thank you, good bye.")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(record(Path(scratch), pause_secs=1.5)).replace(sys.argv[1])
