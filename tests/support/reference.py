"""What a server remembers, told a second time: a small model to hold the client against.

Written from PROTOCOL.md alone, apart from the client and apart from the sandbox. It is driven by
the bytes that a client sends and by a test that decides what happens when; it does no I/O.

What the documentation leaves open is a parameter here, and every rule that a client must keep is
checked on arrival: breaking one raises ``BrokenRuleError``.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Wire = Mapping[str, Any]
LaneMode = Literal["supported", "ignored", "rejected"]
AfterFailure = Literal["forgets", "keeps_previous", "remembers_new"]

MAX_IN_FLIGHT = 16
MAX_NAMES = 32


class BrokenRuleError(AssertionError):
    """The client has done what a client must never do."""


class NotRememberedError(Exception):
    """``previous_response_not_found``."""


@dataclass(eq=False)
class Asked:
    """A request that has arrived.

    Attributes:
        stream_id: The lane as sent.
        lane: The lane it runs on (a server without lanes has one).
        previous: The parent as sent.
        input: The items as sent.
        generate: Whether output was asked for.
        model: The model as sent.
        number: Which request of the connection it is.
        id: The response's id, once it has begun.
        history: All items the model sees, once it has begun.
        displaced: What its lane remembered before it began.
    """

    stream_id: str | None
    lane: str | None
    previous: str | None
    input: list[Wire]
    generate: bool
    model: str
    number: int
    id: str | None = None
    history: list[Wire] | None = None
    displaced: Memory | None = None

    @property
    def begun(self) -> bool:
        return self.id is not None


@dataclass
class Memory:
    """What a lane remembers."""

    response_id: str
    history: list[Wire]


@dataclass
class Server:
    """What all connections have in common.

    Attributes:
        lanes: What becomes of ``stream_id``.
        after_failure: What a lane remembers after a response that did not complete.
    """

    lanes: LaneMode = "supported"
    after_failure: AfterFailure = "forgets"
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new_id(self) -> str:
        return f"resp_{next(self._ids)}"


class ServerConnection:
    """One connection: its lanes, what runs there and what is remembered.

    Attributes:
        waiting: Requests without a terminal event yet, in the order of their arrival.
        memory: What each lane remembers.
        dropped: Ids that were lost through no fault of the client's.
        names: Lane names used so far.
        strict: Whether a second request on a busy lane counts as a mistake. A client cannot know
            at first that a server ignores lanes.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.waiting: list[Asked] = []
        self.memory: dict[str | None, Memory] = {}
        self.dropped: set[str] = set()
        self.names: set[str] = set()
        self.strict = server.lanes == "supported"
        self._arrived = 0

    # -- what the client does -------------------------------------------------------------------

    def receive(self, data: bytes) -> Asked | None:
        """Takes a message in; None for one that asks for no response."""
        message = json.loads(data)
        if message["type"] != "response.create":
            return None
        _check(message)
        stream_id = message.get("stream_id")
        lane = stream_id if self.server.lanes == "supported" else None
        if self.strict and any(other.lane == lane for other in self.waiting):
            raise BrokenRuleError(f"lane {lane} was given a second request while one runs")
        if len(self.waiting) >= MAX_IN_FLIGHT:
            raise BrokenRuleError("more responses in flight than a connection runs")
        if stream_id is not None:
            self.names.add(stream_id)
        if len(self.names) > MAX_NAMES:
            raise BrokenRuleError("more lane names than a connection takes")
        self._arrived += 1
        asked = Asked(
            stream_id=stream_id,
            lane=lane,
            previous=message.get("previous_response_id"),
            input=message["input"],
            generate=message.get("generate") is not False,
            model=message["model"],
            number=self._arrived,
        )
        self.waiting.append(asked)
        return asked

    # -- what the server does ---------------------------------------------------------------------

    def may_begin(self, asked: Asked) -> bool:
        """One lane answers one request after the other."""
        first = next(other for other in self.waiting if other.lane == asked.lane)
        return first is asked and not asked.begun

    def begin(self, asked: Asked) -> None:
        """``response.in_progress``: the parent is part of the response from here on.

        Raises:
            NotRememberedError: If the parent is gone; the request is refused.
        """
        history: list[Wire] = []
        if asked.previous is not None:
            found = [m for m in self.memory.values() if m.response_id == asked.previous]
            if not found:
                self.refuse(asked)
                raise NotRememberedError(asked.previous)
            history = found[0].history
        asked.history = [*history, *asked.input]
        asked.id = self.server.new_id()
        asked.displaced = self.memory.pop(asked.lane, None)

    def complete(self, asked: Asked, output: Sequence[Wire]) -> None:
        """``response.completed``: the lane remembers the response and nothing else."""
        assert asked.history is not None
        assert asked.id is not None
        self.waiting.remove(asked)
        self.memory[asked.lane] = Memory(asked.id, [*asked.history, *output])

    def fall_short(self, asked: Asked, output: Sequence[Wire]) -> None:
        """``response.failed`` or ``response.incomplete``: nobody says what is remembered."""
        assert asked.history is not None
        assert asked.id is not None
        self.waiting.remove(asked)
        if self.server.after_failure == "remembers_new":
            self.memory[asked.lane] = Memory(asked.id, [*asked.history, *output])
        elif self.server.after_failure == "keeps_previous" and asked.displaced is not None:
            self.memory[asked.lane] = asked.displaced

    def refuse(self, asked: Asked) -> None:
        """An ``error`` instead of a response evicts the parent, if it is the same lane's."""
        self.waiting.remove(asked)
        held = self.memory.get(asked.lane)
        if held is not None and held.response_id == asked.previous:
            del self.memory[asked.lane]

    def forget(self) -> None:
        """All that was remembered is gone, through no fault of the client's."""
        self.dropped |= {held.response_id for held in self.memory.values()}
        self.memory.clear()

    def lane_of(self, response_id: str) -> str | None:
        """The lane that remembers a response.

        Raises:
            NotRememberedError: If none does.
        """
        for lane, held in self.memory.items():
            if held.response_id == response_id:
                return lane
        raise NotRememberedError(response_id)


def _check(message: Mapping[str, Any]) -> None:
    if not message["input"]:
        raise BrokenRuleError("the API wants at least one input item")
    if not isinstance(message.get("model"), str):
        raise BrokenRuleError("a request names its model")
    for name in ("stream", "background"):
        if name in message:
            raise BrokenRuleError(f"{name!r} must not be sent over a WebSocket")
    stream_id = message.get("stream_id")
    if stream_id is not None and not re.fullmatch(r"[A-Za-z0-9_.-]{1,256}", stream_id):
        raise BrokenRuleError(f"{stream_id!r} is no name of a lane")


# -- meaning ------------------------------------------------------------------------------------


def meaning(items: Iterable[Wire]) -> list[Any]:
    """Items in a form that is equal for what means the same to a model.

    Texts that follow one another are joined. Inside one group of an assistant's texts, calls and
    their outputs, the texts come first, then the calls, then the outputs, each kind by id: a
    voice writes its text behind the calls, once it has spoken. The user's next words open a new
    group. Of an assistant's text the words count: a voice may leave a full stop out. A thought
    without its encrypted content cannot be sent, so no context holds it.
    """
    result: list[Any] = []
    group = _Group()
    for each in items:
        kind = each.get("type", "message")
        if kind == "message" and each["role"] == "assistant":
            text = _text(each["content"])
            group.text = f"{group.text} {text}".strip()
        elif kind == "message":
            group = group.close(result)
            result.append((each["role"], _text(each["content"])))
        elif kind == "reasoning":
            if not each.get("encrypted_content"):
                continue
            group.reasoning.append(("reasoning", each["id"]))
        elif kind == "function_call":
            arguments = json.dumps(json.loads(each["arguments"]), sort_keys=True)
            group.calls.append(("call", each["call_id"], each["name"], arguments))
        elif kind == "function_call_output":
            group.outputs.append(("output", each["call_id"], json.dumps(each["output"])))
        else:
            group = group.close(result)
            result.append((kind, json.dumps(each, sort_keys=True)))
    group.close(result)
    return result


@dataclass
class _Group:
    text: str = ""
    reasoning: list[Any] = field(default_factory=list)
    calls: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)

    def close(self, into: list[Any]) -> _Group:
        into.extend(sorted(self.reasoning))
        if self.text:
            into.append(("assistant", " ".join(re.findall(r"\w+", self.text))))
        into.extend(sorted(self.calls))
        into.extend(sorted(self.outputs))
        return _Group()


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["refusal"] if "refusal" in part else part["text"] for part in content)


def wires_of(messages: Iterable[Any]) -> list[dict[str, Any]]:
    """A context's messages as items: Chat Completions' form read the shortest way there is."""
    wires: list[dict[str, Any]] = []
    for message in messages:
        if not isinstance(message, Mapping):
            wires.append(dict(message.message))
            continue
        role, content = message["role"], message.get("content")
        if role == "tool":
            wires.append(
                {
                    "type": "function_call_output",
                    "call_id": message["tool_call_id"],
                    "output": content,
                }
            )
            continue
        if content:
            role = "developer" if role == "system" else role
            wires.append({"role": role, "content": content})
        wires += [
            {
                "type": "function_call",
                "call_id": call["id"],
                "name": call["function"]["name"],
                "arguments": call["function"]["arguments"],
            }
            for call in message.get("tool_calls") or ()
        ]
    return wires
