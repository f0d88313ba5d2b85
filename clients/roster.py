"""Who is tried: the packages, the script that drives them, and the transports that they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Language: TypeAlias = Literal["python", "node"]
Transport: TypeAlias = Literal["http", "websocket"]

CASES = ("stream", "tool", "structured", "three turns")
"""What each of them does: its script prints one line of JSON for each."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client.

    Attributes:
        name: What it is called in the table.
        language: What its packages and its script are of.
        packages: Its packages, with their versions.
        script: The script in ``scripts/``.
        transports: What it can talk over.
        variant: An argument for the script, where one script serves several.
    """

    name: str
    language: Language
    packages: tuple[str, ...]
    script: str
    transports: tuple[Transport, ...] = ("http",)
    variant: str = ""

    @property
    def folder(self) -> str:
        """The name of its environment's folder."""
        return "".join(each if each.isalnum() else "-" for each in self.name).lower()


_BOTH: tuple[Transport, ...] = ("http", "websocket")
_OPENAI = ("openai[realtime]==3.57.0",)
_PIPECAT = ("pipecat-ai[openai]==1.14.0",)

ROSTER = (
    Client("openai 3.0 (Python)", "python", ("openai==3.0.0",), "openai_sync.py"),
    Client("openai 3.57 (Python)", "python", _OPENAI, "openai_sync.py", _BOTH),
    Client("openai 3.57 (Python, async)", "python", _OPENAI, "openai_async.py", _BOTH),
    Client("openai 7.59 (JavaScript)", "node", ("openai@7.59.0", "ws@8"), "openai_js.mjs", _BOTH),
    Client(
        "openai-agents 0.24 (Python)",
        "python",
        ("openai-agents==0.24.0", "websockets<18"),
        "openai_agents.py",
        _BOTH,
    ),
    Client(
        "@openai/agents 0.20 (JavaScript)",
        "node",
        ("@openai/agents@0.20.0", "zod@4", "ws@8"),
        "agents_js.mjs",
        _BOTH,
    ),
    Client(
        "LiveKit's plugin 1.8.9",
        "python",
        ("livekit-agents==1.8.9", "livekit-plugins-openai==1.8.9"),
        "livekit_plugin.py",
        _BOTH,
    ),
    Client("Pipecat's services 1.14", "python", _PIPECAT, "pipecat_services.py", _BOTH),
    Client(
        "Vercel AI SDK 7",
        "node",
        ("ai@7.0.173", "@ai-sdk/openai@4.0.118", "zod@4"),
        "vercel_ai.mjs",
    ),
    Client(
        "LangChain (langchain-openai 1.7)",
        "python",
        ("langchain-openai==1.7.4",),
        "langchain_openai_chat.py",
    ),
    Client(
        "pydantic-ai 2.68",
        "python",
        ("pydantic-ai-slim[openai]==2.68.0",),
        "pydantic_ai_agent.py",
    ),
    Client("LiteLLM 1.110", "python", ("litellm==1.110.2",), "litellm_responses.py"),
    Client("Codex 0.171", "node", ("@openai/codex@0.171.0",), "codex.mjs", _BOTH),
)
"""In the order of the table."""
