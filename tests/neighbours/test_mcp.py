"""Tools of a server that speaks the Model Context Protocol."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.sandbox import Answer, Call, Sandbox
from pipecat_responses.testing import VoiceKind
from tests.neighbours.support import ALL, SPOKEN_SERVICES, Sent, agree, calling, rows, turns

SERVER = Path(__file__).with_name("mcp_server.py")


def client() -> Any:
    """A client of a server that is a process of its own."""
    mcp: Any = pytest.importorskip("mcp")
    service: Any = pytest.importorskip("pipecat.services.mcp_service")
    return service.MCPClient(mcp.StdioServerParameters(command=sys.executable, args=[str(SERVER)]))


@SPOKEN_SERVICES
async def test_tools_of_a_server(sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind) -> None:
    server = client()
    llm = ALL[name](sandbox)
    sandbox.script(
        Answer([Call("add", {"a": 2, "b": 3})]), "Five.", Answer([Call("refuse")]), "It refused."
    )
    context = LLMContext(tools=await server.tools())
    async with calling(llm, context, tts=tts) as talk:
        for words in ("Add two and three.", "Refuse."):
            await talk.say(words, ends=2)
            agree(turns(sandbox)[-1], context)
        assert talk.history[2] == ("result", "add", "5")
    # The service closes the connection at the end, and with it the process.
    assert server._session_task is None
    assert [tool["name"] for tool in turns(sandbox)[0].body["tools"]] == ["add", "refuse"]
    table = {"websocket": ["first", "+", "+", "+"], "pipecat": ["full", "+", "+", "+"]}
    assert sent.of(llm, sandbox) == rows(table, name)
