"""Other servers that stand in for this API, and what each takes to do what the checks ask."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import aiohttp

from clients.environments import BUILD, node_packages, python_packages

COUNTED = ", ".join(str(number) for number in range(1, 21)) + "."
WEATHER = {"name": "get_weather", "city": {"city": "San Francisco"}, "result": "18 degrees"}
PERSON = '{"name": "Ada", "age": 36}'
TURNS = ("Noted.", "Fine.", "It was maple.")
"""What a scripted server has to answer, in the order in which the clients' scripts ask."""

Post: TypeAlias = Callable[[str, Any], Awaitable[None]]
"""Posts JSON to a path of the server."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A server.

    Attributes:
        name: What it is called in the table.
        language: What its package is of; None for this one, which is installed.
        package: Its package, with its version.
        command: What starts it, given its folder and a port.
        files: Files to lay into its folder first.
        script: Scripts the answers that the clients wait for, if no file did.
        cut: Has the next stream break off after three pieces; None where it cannot.
    """

    name: str
    language: Literal["python", "node"] | None
    package: str
    command: Callable[[Path, int], Sequence[str]]
    files: Mapping[str, Any] | None = None
    script: Callable[[Post], Awaitable[None]] | None = None
    cut: Callable[[Post], Awaitable[None]] | None = None

    async def prepare(self) -> Path:
        """Installs it, and gives its folder.

        Raises:
            NotInstalledError: If it cannot be installed.
        """
        folder = BUILD / "rivals" / "".join(c if c.isalnum() else "-" for c in self.package)
        if self.language == "python":
            await python_packages(folder, (self.package,))
        elif self.language == "node":
            await node_packages(folder, (self.package,))
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in (self.files or {}).items():
            (folder / name).write_text(json.dumps(value), encoding="utf-8")
        return folder


def poster(session: aiohttp.ClientSession, origin: str) -> Post:
    """What posts JSON to a server, and wants it taken."""

    async def post(path: str, body: Any) -> None:
        async with session.post(origin + path, json=body) as answer:
            answer.raise_for_status()

    return post


# -- this one -------------------------------------------------------------------------------------


def _ours(folder: Path, port: int) -> Sequence[str]:
    program = str(Path(sys.executable).with_name("pipecat-responses"))
    pace = ("--time-to-first-token", "0", "--tokens-per-second", "0")
    return (program, "serve", "--port", str(port), *pace)


async def _ours_cut(post: Post) -> None:
    await post("/_sandbox/faults", {"kind": "reset", "moment": "text", "after": 3})


# -- aimock: fixtures by what is said -------------------------------------------------------------


def _fixture(match: Mapping[str, Any], response: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"match": match, "response": response, **more}


_CALLS = [{"name": "get_weather", "arguments": WEATHER["city"]}]
_AIMOCK = {
    "fixtures": [
        _fixture({"toolResultContains": "18"}, {"content": WEATHER["result"]}),
        _fixture({"userMessage": "count to 20"}, {"content": COUNTED}),
        _fixture({"userMessage": "call get_weather"}, {"toolCalls": _CALLS}),
        _fixture({"userMessage": "Ada is 36"}, {"content": PERSON}),
        _fixture({"userMessage": "The word is maple"}, {"content": TURNS[0]}),
        _fixture({"userMessage": "How are you"}, {"content": TURNS[1]}),
        _fixture({"userMessage": "Which word"}, {"content": TURNS[2]}),
        _fixture(
            {"userMessage": "break off"}, {"content": COUNTED * 5}, latency=5, truncateAfterChunks=8
        ),
    ]
}


def _aimock(folder: Path, port: int) -> Sequence[str]:
    program = str(folder / "node_modules/.bin/llmock")
    return (program, "--port", str(port), "--fixtures", str(folder / "fixtures.json"))


async def _scripted(post: Post) -> None:
    """Nothing to do: the file says it already."""


# -- LLMock: answers one after the other ----------------------------------------------------------


def _llmock(folder: Path, port: int) -> Sequence[str]:
    return (str(folder / "venv/bin/llmock"), "serve", "--port", str(port), "--log-level", "error")


async def _llmock_script(post: Post) -> None:
    await post("/_llmock/reset", {})
    calls = [{"name": "get_weather", "arguments": WEATHER["city"]}]
    said = [COUNTED, calls, WEATHER["result"], PERSON, *TURNS]
    replies = [
        {"type": "reply", **({"text": each} if isinstance(each, str) else {"tool_calls": each})}
        for each in said
    ]
    await post("/_llmock/scenario", {"behaviors": replies})


async def _llmock_cut(post: Post) -> None:
    fault = {"type": "stream_fault", "kind": "disconnect", "after_chunks": 8}
    reply = {"type": "reply", "text": COUNTED * 5}
    await post("/_llmock/scenario", {"behaviors": [reply, fault]})


# -- llm-mock-api: rules by what is said ----------------------------------------------------------

_RULES = {
    "rules": [
        {"when": "count to 20", "reply": COUNTED},
        {
            "when": "call get_weather",
            "reply": {"tools": [{"name": "get_weather", "args": WEATHER["city"]}]},
            "times": 1,
        },
        {"when": "Ada is 36", "reply": PERSON},
        {"when": "The word is maple", "reply": TURNS[0]},
        {"when": "How are you", "reply": TURNS[1]},
        {"when": "Which word", "reply": TURNS[2]},
    ],
    "fallback": WEATHER["result"],
}


def _llm_mock_api(folder: Path, port: int) -> Sequence[str]:
    program = str(folder / "venv/bin/llm-mock-api")
    return (program, "start", "--port", str(port), "--rules", str(folder / "rules.json5"))


RIVALS = (
    Rival("this sandbox", None, "pipecat-responses", _ours, cut=_ours_cut),
    Rival(
        "aimock 1.43",
        "node",
        "@copilotkit/aimock@1.43.0",
        _aimock,
        {"fixtures.json": _AIMOCK},
        cut=_scripted,
    ),
    Rival(
        "LLMock 0.2",
        "python",
        "llmock==0.2.2",
        _llmock,
        script=_llmock_script,
        cut=_llmock_cut,
    ),
    Rival(
        "llm-mock-api 0.1",
        "python",
        "llm-mock-api==0.1.2",
        _llm_mock_api,
        {"rules.json5": _RULES},
    ),
)
"""In the order of the table."""
