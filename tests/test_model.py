"""What the model has seen equals the context, at every turn, whatever happens in between.

The client's own planning, lanes and routing (``protocol.connection``)
are driven by the bytes of a server's events, and their requests go as bytes to a second model of
the server's memory (``tests.support.reference``), step by random step. The last test does the same
through a real pipeline and the sandbox.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import Frame, LLMContextFrame, LLMUpdateSettingsFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses import OpenAIResponsesLLMService
from pipecat_responses.context.pending import settled
from pipecat_responses.protocol.capabilities import ServerCapabilities
from pipecat_responses.protocol.connection import Connection, ConnectionState
from pipecat_responses.protocol.effects import Effect, Fail, Learned, Send
from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError
from pipecat_responses.protocol.events import decode, read
from pipecat_responses.protocol.failures import Failure, Recovery
from pipecat_responses.protocol.items import Item, make_item
from pipecat_responses.protocol.lanes import LaneSet
from pipecat_responses.protocol.planning import (
    FullReason,
    Plan,
    plan,
    plan_anchor,
    plan_side_request,
    worth,
)
from pipecat_responses.protocol.requests import Fields, Payload, Request
from pipecat_responses.protocol.response import Response
from pipecat_responses.sandbox import Fault, Sandbox
from pipecat_responses.testing import Conversation
from tests.support.contexts import messages_of
from tests.support.portions import portion
from tests.support.reference import (
    AfterFailure,
    Asked,
    LaneMode,
    NotRememberedError,
    Server,
    ServerConnection,
    meaning,
    wires_of,
)

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "70"))
FUZZ = settings(
    max_examples=EXAMPLES,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

MODELS = ("gpt-4.1", "gpt-4.1-mini")


class Ear:
    """Listens to a response.

    Attributes:
        error: Why nothing more comes, once nothing does.
    """

    def __init__(self) -> None:
        self.error: ResponsesError | None = None


@dataclass(eq=False)
class Letter:
    """A message on its way, and what the model is to know once it has arrived."""

    payload: Payload
    expected: list[Any]


@dataclass(eq=False)
class Peer:
    """A connection of the client, what waits to leave on it, and the server's end of it."""

    connection: Connection[Ear]
    server: ServerConnection
    outbox: list[Letter] = field(default_factory=list)
    asked: dict[int, list[Any]] = field(default_factory=dict)
    ended: dict[str | None, bytes] = field(default_factory=dict)


@dataclass(eq=False)
class Asking:
    """A request of the client's and who listens to its answer."""

    peer: Peer
    response: Response[Ear]
    letter: Letter


class World:
    """A client, a server and a context, and all that may happen to them.

    It carries out what the protocol decides, without tasks and without time. Choices come in as
    numbers, so that a list of them is a history.
    """

    def __init__(
        self,
        lanes: LaneMode = "supported",
        after_failure: AfterFailure = "forgets",
        *,
        forks: bool = True,
    ) -> None:
        self.server = Server(lanes, after_failure)
        self.capabilities = ServerCapabilities()
        self.forks = forks
        self.peers: list[Peer] = []
        self.context: list[dict[str, Any]] = []
        self.model = MODELS[0]
        self.current: Asking | None = None
        self.heard = ""
        self.expected: list[Any] = []
        self.conversation: Sequence[Item] = ()
        self.known: dict[int, tuple[str, Item]] = {}
        self.number = 0
        self.turns = 0
        self.tries = 0
        self.incremental = 0
        self.abandoned = 0
        self.forgetful: list[Peer] = []

    # -- effects ----------------------------------------------------------------------------------

    def carry_out(self, peer: Peer, effects: Sequence[Effect[Ear]]) -> None:
        for effect in effects:
            if isinstance(effect, Fail):
                effect.listener.error = effect.error
            elif isinstance(effect, Send):
                peer.outbox.append(Letter(effect.payload, self.expected))
            elif isinstance(effect, Learned):
                self.capabilities.learn(effect.capability, effect.available)

    # -- the client -------------------------------------------------------------------------------

    def items(self) -> list[Item]:
        """The context's items: the same objects for what has not changed, as the adapter does."""
        result = []
        for wire in self.context:
            text = json.dumps(wire)
            known = self.known.get(id(wire))
            if known is None or known[0] != text:
                known = self.known[id(wire)] = (text, make_item(json.loads(text)))
            result.append(known[1])
        return result

    def turn(self) -> None:
        """A context frame: an answer that runs is interrupted, and a request goes out."""
        self.interrupt()
        self.turns += 1
        self.tries = 0
        self.forgetful = []
        self.request()

    def request(self) -> None:
        if not self.context:
            return
        items = self.items()
        self.expected = meaning(self.context)
        self.conversation = items
        planned = self.plan(items)
        if planned is None:
            for peer in self.usable():
                if not peer.connection.lanes.room:
                    self.carry_out(peer, peer.connection.retire())
            self.connect()
            planned = self.plan(items)
        assert planned is not None, "a fresh connection has room"
        peer, todo = planned
        self.check(peer, todo)
        self.incremental += todo.checkpoint is not None
        request = Request(Fields({"model": self.model}), items)
        self.heard = ""
        self.current = self.send(peer, todo, request)

    def send(self, peer: Peer, todo: Plan, request: Request, *, keeps: bool = True) -> Asking:
        response, payload = peer.connection.start(
            todo, request, Ear(), turn=self.turns, keeps=keeps
        )
        letter = Letter(payload, self.expected)
        peer.outbox.append(letter)
        return Asking(peer, response, letter)

    def abandon(self, asking: Asking) -> None:
        connection = asking.peer.connection
        never_left = connection.runs(asking.response) and asking.letter in asking.peer.outbox
        if never_left:
            asking.peer.outbox.remove(asking.letter)
        elif connection.runs(asking.response):
            self.abandoned += 1
        effects = connection.abandon(asking.response, never_left=never_left)
        self.carry_out(asking.peer, effects)

    def plan(self, items: list[Item]) -> tuple[Peer, Plan] | None:
        peers = self.usable()
        lanes = [peer.connection.lanes for peer in peers]
        todo = plan(lanes, items, self.model, forks=self.forks)
        if todo is None:
            return None
        return next(peer for peer in peers if peer.connection.lanes is todo.lanes), todo

    def check(self, peer: Peer, todo: Plan) -> None:
        assert todo.send, "a request without input"
        assert todo.lane.idle
        assert peer.connection.lanes.room, "a request that the server would queue"
        if todo.checkpoint is None:
            assert isinstance(todo.full_reason, FullReason)
            return
        assert todo.full_reason is None
        holders = [lane for lane in todo.lanes.lanes if lane.checkpoint is todo.checkpoint]
        assert len(holders) == 1
        if self.forks and todo.lanes.named is not False:
            assert todo.fork
            assert holders[0] is not todo.lane, "the parent's lane must not move on"
        else:
            assert not todo.fork
            assert holders[0] is todo.lane, "a lane that continues itself"

    def connect(self) -> None:
        lanes = LaneSet(named=self.capabilities.lanes)
        connection: Connection[Ear] = Connection(lanes, self.capabilities)
        connection.opened()
        self.peers.append(Peer(connection, ServerConnection(self.server)))

    def usable(self) -> list[Peer]:
        retiring = ConnectionState.RETIRING
        self.peers = [
            peer
            for peer in self.peers
            if not (peer.connection.state is retiring and peer.connection.silent)
        ]
        return [peer for peer in self.peers if peer.connection.usable]

    def interrupt(self) -> None:
        """The user begins to speak: what was heard stays, and nobody listens any more."""
        asking, self.current = self.current, None
        if asking is None:
            return
        self.abandon(asking)
        self.abandon(asking)
        if self.heard:
            self.context.append({"role": "assistant", "content": self.heard})
        self.heard = ""

    def listen(self) -> None:
        """Reads what has come for the turn, and tries again after a failure, as a turn does."""
        while self.current is not None:
            asking = self.current
            error = asking.response.listener.error
            if error is None:
                return
            self.abandon(asking)
            if error.failure is Failure.MEMORY_LOST:
                again = asking.peer in self.forgetful
                assert not again, "the parent was gone, and not everything was sent"
                self.forgetful.append(asking.peer)
            self.current = None
            self.tries += 1
            if self.tries > 5 or error.recovery in (Recovery.REPORT, Recovery.PERMANENT):
                if self.heard:
                    self.context.append({"role": "assistant", "content": self.heard})
                return
            self.heard = ""
            self.request()

    # -- the server -------------------------------------------------------------------------------

    def leave(self) -> None:
        """What has been posted leaves, and arrives."""
        for peer in self.peers:
            while peer.outbox:
                letter = peer.outbox.pop(0)
                asked = peer.server.receive(letter.payload.join())
                if asked is not None:
                    peer.asked[asked.number] = letter.expected

    def tell(self, peer: Peer, asked: Asked | None, message: dict[str, Any]) -> bytes:
        """Sends an event, through the same two functions as the transport."""
        if asked is not None and self.server.lanes == "supported" and asked.stream_id:
            message = {**message, "stream_id": asked.stream_id}
        data = json.dumps(message).encode()
        self.deliver(peer, data)
        return data

    def deliver(self, peer: Peer, data: bytes) -> None:
        wire = decode(data)
        event = read(wire, data)
        if event is not None:
            stream_id = wire.stream_id if isinstance(wire.stream_id, str) else None
            if peer.connection.response_speaking(stream_id, event):
                return
            self.carry_out(peer, peer.connection.receive(stream_id, event))

    def open_requests(self) -> list[tuple[Peer, Asked]]:
        return [(peer, asked) for peer in self.peers for asked in peer.server.waiting]

    def pick(self, number: int, begun: bool) -> tuple[Peer, Asked] | None:
        found = [
            (peer, asked)
            for peer, asked in self.open_requests()
            if (asked.begun if begun else peer.server.may_begin(asked))
        ]
        return found[number % len(found)] if found else None

    def begin(self, peer: Peer, asked: Asked) -> bool:
        """The server begins a response; here the property itself is checked."""
        server = peer.server
        if self.server.lanes == "rejected" and asked.stream_id is not None:
            server.refuse(asked)
            self.tell(
                peer,
                None,
                error(400, "unknown_parameter", "Unknown parameter: 'stream_id'.", "stream_id"),
            )
            self.listen()
            return False
        if asked.previous is not None and self.server.lanes == "supported":
            with suppress(NotRememberedError):
                lane = server.lane_of(asked.previous)
                assert self.forks is (lane != asked.lane)
        try:
            server.begin(asked)
        except NotRememberedError:
            assert asked.previous in server.dropped, "the client named what was long gone"
            # From here on the client takes all for lost, and protects nothing that waits.
            server.dropped |= {each.previous for each in server.waiting if each.previous}
            self.tell(peer, asked, error(400, "previous_response_not_found", "Not found.", None))
            self.listen()
            return False
        assert meaning(asked.history or ()) == peer.asked[asked.number]
        response = {"id": asked.id, "status": "in_progress"}
        self.tell(peer, asked, {"type": "response.created", "response": response})
        self.listen()
        self.tell(peer, asked, {"type": "response.in_progress", "response": response})
        self.listen()
        return True

    def output(self, kind: int) -> list[dict[str, Any]]:
        """An output, of one of the shapes that there are."""
        self.number += 1
        n = self.number
        text = ("Yes.", f"Answer {n}: größer — 你好.", f"It is {n}, " * 5)[n % 3]
        call = [
            {
                "type": "function_call",
                "id": f"fc_{n}_{i}",
                "call_id": f"call_{n}_{i}",
                "name": f"tool{i}",
                "arguments": json.dumps({"b": i, "a": [1, True]}),
                "status": "completed",
            }
            for i in range(3)
        ]
        thought: dict[str, Any] = {"type": "reasoning", "id": f"rs_{n}", "summary": []}
        if n % 4:
            thought["encrypted_content"] = "e"
        said = output_message(n, text)
        shapes: list[list[dict[str, Any]]] = [
            [said],
            [said, output_message(n, " And more.")],
            [thought, said],
            call[:1],
            call[:2],
            call,
            [thought, *call[:2]],
            [said, *call[:2]],
            [thought, said, thought | {"id": f"rs_{n}b"}, call[0]],
            [refusal_message(n, "I cannot.")],
            [],
        ]
        return shapes[kind % len(shapes)]

    def finish(self, peer: Peer, asked: Asked, kind: int, how: str) -> None:
        """The server ends a response."""
        output = self.output(kind) if asked.generate else []
        mine = self.current is not None and self.current.response.response_id == asked.id
        heard = False
        for each in output:
            if each["type"] == "message":
                part = each["content"][0]
                heard = True
                delta = part.get("text", part.get("refusal"))
                self.tell(peer, asked, {"type": "response.output_text.delta", "delta": delta})
            done = {"type": "response.output_item.done", "item": each}
            self.tell(peer, asked, done)
        response: dict[str, Any] = {"id": asked.id, "status": how, "output": output}
        if how == "failed":
            response["error"] = {"code": "server_error", "message": "Oops."}
        elif kind % 5 > 2:
            # Some servers list nothing at the end of what they have streamed.
            response["output"] = None if kind % 5 == 4 else []
        if how == "completed":
            peer.server.complete(asked, output)
        else:
            peer.server.fall_short(asked, output)
        data = self.tell(peer, asked, {"type": f"response.{how}", "response": response})
        peer.ended[asked.lane] = data
        if not mine:
            return
        if how == "failed":
            self.heard = "".join(text_of(each) for each in output) if heard else ""
            self.current = None
            if self.heard:
                self.context.append({"role": "assistant", "content": self.heard})
            self.heard = ""
            return
        self.current = None
        self.heard = ""
        self.hear_out(output, kind, completed=how == "completed")

    def hear_out(self, output: list[dict[str, Any]], kind: int, *, completed: bool) -> None:
        """What Pipecat writes into the context after an answer."""
        text = "".join(text_of(each) for each in output)
        said = [{"role": "assistant", "content": text}] if text else []
        calls = [each for each in output if each["type"] == "function_call"] if completed else []
        led_to = bool(calls or text)
        for each in output:
            if each["type"] == "reasoning" and led_to and "encrypted_content" in each:
                kept = ("type", "id", "summary", "encrypted_content")
                self.context.append({name: each[name] for name in kept})
        before = kind % 4 != 3
        self.context += said if before else []
        for each in calls:
            arguments = json.loads(each["arguments"])
            # As an aggregator writes them: another order of keys, other white space.
            written = json.dumps(dict(reversed(arguments.items())), indent=1)
            self.context.append(
                {
                    "type": "function_call",
                    "call_id": each["call_id"],
                    "name": each["name"],
                    "arguments": written,
                }
            )
            self.context.append(
                {
                    "type": "function_call_output",
                    "call_id": each["call_id"],
                    "output": "IN_PROGRESS",
                }
            )
        self.context += [] if before else said

    # -- what may happen --------------------------------------------------------------------------

    def say(self, a: int, b: int) -> None:
        """The user speaks, whatever runs."""
        self.interrupt()
        self.number += 1
        text = "yes" if a % 7 == 0 else f"question {self.number}"
        content: Any = text
        if a % 5 == 0:
            content = [{"type": "input_text", "text": text}]
        self.context.append({"role": "user", "content": content})
        self.turn()
        if b % 4:
            self.leave()

    def leaves(self, a: int, b: int) -> None:
        """What waits to be written is written."""
        self.leave()

    def begins(self, a: int, b: int) -> None:
        """The server begins one of the responses it was asked for."""
        self.leave()
        found = self.pick(a, begun=False)
        if found is not None:
            self.begin(*found)

    def speaks(self, a: int, b: int) -> None:
        """A piece of the answer arrives (it is repeated in full if the response goes on)."""
        asking = self.current
        found = [
            (peer, asked)
            for peer, asked in self.open_requests()
            if asked.begun and asking is not None and asked.id == asking.response.response_id
        ]
        if found and found[0][1].generate and not self.heard:
            self.heard = "It is"
            delta = {"type": "response.output_text.delta", "delta": self.heard}
            self.tell(*found[0], delta)
            self.listen()

    def completes(self, a: int, b: int) -> None:
        """One of the running responses completes, listened to or not."""
        found = self.pick(a, begun=True)
        if found is not None:
            self.finish(*found, b, "completed")

    def answers(self, a: int, b: int) -> None:
        """The turn's own response begins, speaks and completes."""
        found = self.run_up()
        if found is not None:
            self.finish(*found, a, "completed")

    def answers_badly(self, a: int, b: int) -> None:
        """The turn's own response fails or is incomplete, after all that it had to say."""
        found = self.run_up()
        if found is not None:
            self.finish(*found, a, ("failed", "incomplete")[b % 2])

    def run_up(self) -> tuple[Peer, Asked] | None:
        """Lets the turn's own response begin, if its lane is free and memory allows."""
        for _ in range(6):
            self.leave()
            if self.current is None:
                return None
            peer = self.current.peer
            lane = self.current.response.lane
            mine = [x for x in peer.server.waiting if x.stream_id == lane.name]
            if not mine:
                return None
            asked = mine[-1]
            if asked.begun:
                return peer, asked
            if not peer.server.may_begin(asked):
                return None
            self.begin(peer, asked)
        return None

    def breaks_off(self, a: int, b: int) -> None:
        """An error in the middle of a response; a terminal event follows, or none ever does."""
        found = self.pick(a, begun=True)
        if found is None:
            return
        peer, asked = found
        if b % 2:
            peer.server.fall_short(asked, [])
        self.tell(peer, asked, error(500, "server_error", "Oops.", None))
        self.listen()
        self.leave()

    def garbles(self, a: int, b: int) -> None:
        """A message that is no event arrives; whatever runs goes on."""
        if self.peers:
            data = (b"[1]", b"{", b"\xff", b"null")[b % 4]
            peer = self.peers[a % len(self.peers)]
            with suppress(ResponsesError):
                decode(data)
                pytest.fail("that was an event")
            error = ResponsesError("Nonsense", failure=Failure.PROTOCOL)
            self.carry_out(peer, peer.connection.receive_undecodable(error))
            self.listen()

    def falls_short(self, a: int, b: int) -> None:
        """One of the running responses fails or is incomplete."""
        found = self.pick(a, begun=True)
        if found is not None:
            self.finish(*found, b, ("failed", "incomplete")[b % 2])

    def refuses(self, a: int, b: int) -> None:
        """A request is refused before it begins."""
        self.leave()
        found = self.pick(a, begun=False)
        if found is None:
            return
        peer, asked = found
        if self.server.lanes != "supported" and self.capabilities.lanes is None:
            return
        peer.server.refuse(asked)
        status, code = ((429, "rate_limit_exceeded"), (500, "server_error"), (400, "invalid"))[
            b % 3
        ]
        self.tell(peer, asked, error(status, code, "No.", None))
        self.listen()
        self.leave()

    def interrupts(self, a: int, b: int) -> None:
        """The user begins to speak and says nothing yet; an anchor may be laid."""
        self.interrupt()
        if b % 3 == 0:
            self.anchor(a, b)

    def burst(self, a: int, b: int) -> None:
        """The user interrupts again and again, faster than the server answers."""
        for n in range(2 + a % 5):
            self.say(a + n, b)
            if b % 2:
                self.begins(a + n, b)

    def cut(self, a: int, b: int) -> None:
        """Less was heard of the last answer than was said."""
        for wire in reversed(self.context):
            if wire.get("role") == "assistant" and isinstance(wire["content"], str):
                wire["content"] = wire["content"][: 1 + a % len(wire["content"])]
                return

    def result(self, a: int, b: int) -> None:
        """A tool gives its result, which takes the place of IN_PROGRESS; the last one runs."""
        open_calls = [w for w in self.context if w.get("output") == "IN_PROGRESS"]
        if open_calls:
            self.number += 1
            open_calls[a % len(open_calls)]["output"] = f'{{"result": {self.number}}}'
            if len(open_calls) == 1 or b % 5 == 0:
                self.turn()
                self.leave()

    def summarise(self, a: int, b: int) -> None:
        """The beginning of the context becomes a summary."""
        self.number += 1
        summary = {"role": "developer", "content": f"Summary {self.number}"}
        self.context[: a % (len(self.context) + 1)] = [summary]

    def trim(self, a: int, b: int) -> None:
        """The beginning, or the end, of the context goes."""
        count = a % (len(self.context) + 1)
        if b % 2:
            del self.context[:count]
        else:
            del self.context[count:]

    def edit(self, a: int, b: int) -> None:
        """A message anywhere is changed in place, or put elsewhere."""
        if not self.context:
            return
        self.number += 1
        wire = self.context[a % len(self.context)]
        if b % 3 == 0:
            self.context.append(self.context.pop(a % len(self.context)))
        elif "content" in wire:
            wire["content"] = f"edited {self.number}"
        elif "output" in wire:
            wire["output"] = f"edited {self.number}"
        elif "arguments" in wire:
            wire["arguments"] = json.dumps({"edited": self.number})

    def rebuild(self, a: int, b: int) -> None:
        """The context is rebuilt by someone: equal values, other objects."""
        self.context = copy.deepcopy(self.context)
        for wire in self.context:
            if b % 2 and isinstance(wire.get("content"), str):
                kind = "output_text" if wire["role"] == "assistant" else "input_text"
                wire["content"] = [
                    {"type": kind, "text": wire["content"][: a % 5]},
                    {"type": kind, "text": wire["content"][a % 5 :]},
                ]
        self.known.clear()

    def change_model(self, a: int, b: int) -> None:
        """Another model answers from here on."""
        self.model = MODELS[a % len(MODELS)]

    def forgets(self, a: int, b: int) -> None:
        """The server drops its memory."""
        for peer in self.peers:
            peer.server.forget()

    def breaks(self, a: int, b: int) -> None:
        """A connection breaks off."""
        if self.peers:
            peer = self.peers.pop(a % len(self.peers))
            lost = ConnectionLostError("The connection broke off")
            peer.outbox.clear()
            self.carry_out(peer, peer.connection.lose(lost))
            self.listen()

    def strays(self, a: int, b: int) -> None:
        """The last terminal event of a lane comes a second time."""
        told = [(peer, data) for peer in self.peers for data in peer.ended.values()]
        if told:
            self.deliver(*told[a % len(told)])
            self.listen()

    def anchor(self, a: int, b: int) -> None:
        """What is known of the conversation is given to the server, beside the turns."""
        items = list(settled(self.items()))
        if not items or self.capabilities.lanes is None:
            return
        for peer in self.usable():
            lanes = peer.connection.lanes
            todo = plan_anchor(lanes, items, self.model, self.conversation, forks=self.forks)
            if todo is not None and todo.send:
                self.expected = meaning(self.context[: len(items)])
                request = Request(Fields({"model": self.model}), items, generate=False)
                before = self.covered(peer)
                self.send(peer, todo, request)
                if self.capabilities.lanes and self.forks:
                    assert self.covered(peer) >= before, "an anchor took what the next turn needs"
                return

    def beside(self, a: int, b: int) -> None:
        """A request that is no part of the conversation; the next turn loses nothing by it."""
        if self.capabilities.lanes is not True:
            return
        self.number += 1
        wires = [{"role": "user", "content": f"beside {self.number}"}]
        for peer in self.usable():
            todo = plan_side_request(peer.connection.lanes, (), self.model, self.conversation)
            if todo is not None:
                self.expected = meaning(wires)
                items = [make_item(each) for each in wires]
                full = Plan(todo.lanes, todo.lane, None, items, FullReason.FIRST, fork=False)
                request = Request(Fields({"model": self.model}), items)
                before = self.covered(peer)
                self.send(peer, full, request, keeps=False)
                assert self.covered(peer) >= before, "it took what the next turn needs"
                return

    def covered(self, peer: Peer) -> int:
        """How much of the context is covered, unless it has changed since it was sent."""
        items = self.items()
        if items[: len(self.conversation)] != self.conversation:
            return 0
        found = worth(peer.connection.lanes, items, self.model).covering
        return max((each.length for each in found), default=0)


STEPS: dict[str, Callable[[World, int, int], None]] = {
    name: getattr(World, name)
    for name in (
        "say",
        "answers",
        "answers_badly",
        "breaks_off",
        "garbles",
        "leaves",
        "begins",
        "speaks",
        "completes",
        "falls_short",
        "refuses",
        "interrupts",
        "burst",
        "cut",
        "result",
        "summarise",
        "trim",
        "edit",
        "rebuild",
        "change_model",
        "forgets",
        "breaks",
        "strays",
        "anchor",
        "beside",
    )
}


def error(status: int, code: str, message: str, param: str | None) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {
        "type": "error",
        "status": status,
        "error": {"type": kind, "code": code, "message": message, "param": param},
    }


def output_message(number: int, text: str) -> dict[str, Any]:
    return {
        "type": "message",
        "id": f"msg_{number}",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }


def refusal_message(number: int, text: str) -> dict[str, Any]:
    message = output_message(number, text)
    return message | {"content": [{"type": "refusal", "refusal": text}]}


def text_of(wire: Mapping[str, Any]) -> str:
    if wire["type"] != "message":
        return ""
    return "".join(part.get("text", part.get("refusal")) for part in wire["content"])


def worlds() -> st.SearchStrategy[World]:
    return st.builds(
        World,
        st.sampled_from(["supported", "supported", "supported", "ignored", "rejected"]),
        st.sampled_from(["forgets", "keeps_previous", "remembers_new"]),
        forks=st.sampled_from([True, True, True, False]),
    )


NUMBERS = st.integers(0, 60)


class Session(RuleBasedStateMachine):
    """Every step of the world, in any order."""

    world: World | None = None

    @initialize(world=worlds())
    def start(self, world: World) -> None:
        self.world = world


def _as_rule(step: Callable[[World, int, int], None]) -> Any:
    def taken(self: Session, a: int, b: int) -> None:
        assert self.world is not None
        step(self.world, a, b)

    taken.__name__ = step.__name__
    return rule(a=NUMBERS, b=NUMBERS)(taken)


for _name, _step in STEPS.items():
    setattr(Session, _name, _as_rule(_step))

TestSession = Session.TestCase
TestSession.settings = FUZZ


USUAL = {"say": 30, "answers": 40, "leaves": 5, "begins": 12, "speaks": 8, "completes": 12}
"""How often a step is taken in a long session, where it is not once."""


LANES: tuple[LaneMode, ...] = ("supported", "ignored", "rejected")
AFTER_FAILURE: tuple[AfterFailure, ...] = ("forgets", "keeps_previous", "remembers_new")


@pytest.mark.parametrize(
    ("lanes", "after_failure"),
    [(lanes, after) for n, lanes in enumerate(LANES) for after in portion(AFTER_FAILURE, n, 3)],
)
def test_a_session_of_500_turns(lanes: LaneMode, after_failure: AfterFailure) -> None:
    names = list(STEPS)
    weights = [USUAL.get(name, 2) for name in names]
    for _ in range(max(1, EXAMPLES // 100)):
        seed = random.getrandbits(32)
        rng = random.Random(seed)
        world = World(lanes, after_failure)
        try:
            while world.turns < 500:
                name = rng.choices(names, weights)[0]
                STEPS[name](world, rng.randrange(61), rng.randrange(61))
        except BaseException as failure:
            failure.add_note(f"seed {seed}, turn {world.turns}")
            raise
        assert world.abandoned
        if lanes == "supported":
            assert world.incremental > 150


# -- through a real pipeline ----------------------------------------------------------------------

TOOLS = ("alpha", "beta")


class Watched(OpenAIResponsesLLMService):
    """The service, noting what the context says whenever it is asked to answer it."""

    contexts: list[list[Any]]

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, LLMContextFrame):
            self.contexts.append(meaning(wires_of(copy.deepcopy(frame.context.get_messages()))))
        await super().process_frame(frame, direction)


class Day:
    """A long conversation with all that happens in one."""

    def __init__(self, sandbox: Sandbox, llm: Watched, talk: Conversation, seed: int) -> None:
        self.sandbox = sandbox
        self.llm = llm
        self.talk = talk
        self.rng = random.Random(seed)
        self.number = 0

    def words(self) -> str:
        self.number += 1
        return f"This is question {self.number}."

    async def ask(self) -> None:
        await self.talk.say(self.words())

    async def call(self) -> None:
        await self.talk.say(f"Please call alpha and beta. {self.words()}", ends=2)

    async def interrupt_while_it_speaks(self) -> None:
        self.sandbox.config.tokens_per_second = 300
        await self.talk.start(f"{self.words()} Now count to 40.")
        await self.talk.text_arrives(self.rng.randint(1, 3))
        await self.talk.interrupt()
        await self.talk.settle()
        self.sandbox.config.tokens_per_second = None

    async def interrupt_before_it_speaks(self) -> None:
        self.sandbox.config.time_to_first_token = 0.01
        before = self.talk.starts
        await self.talk.start(self.words())
        await self.talk.said.until(lambda: self.talk.starts > before)
        for _ in range(self.rng.randint(0, 3)):
            await asyncio.sleep(0)
        await self.talk.interrupt()
        await self.talk.settle()
        self.sandbox.config.time_to_first_token = 0.0

    async def cut_what_was_heard(self) -> None:
        messages = messages_of(self.talk.context)
        last = messages[-1] if messages else {}
        if last.get("role") == "assistant" and len(last.get("content") or "") > 4:
            last["content"] = last["content"][: self.rng.randint(1, len(last["content"]) - 1)]

    async def summarise(self) -> None:
        messages = messages_of(self.talk.context)
        kept = [m for m in messages[-4:] if m["role"] in ("user", "assistant")]
        kept = [m for m in kept if not m.get("tool_calls")]
        self.number += 1
        self.talk.context.set_messages(
            [{"role": "developer", "content": f"Summary {self.number}"}, *kept]
        )

    async def lose_memory(self) -> None:
        self.sandbox.faults.add(Fault("forget", "idle"))

    async def lose_connection(self) -> None:
        self.sandbox.cut()

    async def change_model(self) -> None:
        settings = OpenAIResponsesLLMService.Settings(model=self.rng.choice(MODELS))
        await self.talk.worker.queue_frame(LLMUpdateSettingsFrame(delta=settings))

    async def ask_beside(self) -> None:
        context = LLMContext([{"role": "user", "content": "beside the conversation"}])
        assert await self.llm.run_inference(context)


async def test_hundreds_of_turns_through_a_pipeline(sandbox: Sandbox) -> None:
    seed = int(os.environ.get("SEED", random.getrandbits(32)))
    print(f"SEED={seed}")
    llm = Watched(
        api_key="x", base_url=sandbox.base_url, settings=Watched.Settings(model=MODELS[0])
    )
    llm.contexts = []
    context = LLMContext(tools=ToolsSchema(standard_tools=[tool(name) for name in TOOLS]))

    async def run(params: FunctionCallParams) -> None:
        if seed % 2:
            await asyncio.sleep(0.001 if params.function_name == "alpha" else 0)
        await params.result_callback({"done": params.function_name})

    for name in TOOLS:
        llm.register_function(name, run)
    async with Conversation(llm, context, metrics=False) as talk:
        day = Day(sandbox, llm, talk, seed)
        steps = {
            day.ask: 60,
            day.call: 6,
            day.interrupt_while_it_speaks: 6,
            day.interrupt_before_it_speaks: 8,
            day.cut_what_was_heard: 10,
            day.summarise: 2,
            day.lose_memory: 3,
            day.lose_connection: 2,
            day.change_model: 2,
            day.ask_beside: 3,
        }
        while len(llm.contexts) < 2.5 * EXAMPLES:
            await day.rng.choices(list(steps), list(steps.values()))[0]()
        await day.ask()
        assert not talk.errors
        assert talk.starts == talk.ends == len(llm.contexts)
    answered = [request for request in sandbox.requests if request.generate and request.history]
    turn = 0
    for request in answered:
        seen = meaning(request.history)
        if seen == [("user", "beside the conversation")]:
            continue
        while turn < len(llm.contexts) and llm.contexts[turn] != seen:
            turn += 1
        assert turn < len(llm.contexts), f"no turn's context is what the model saw: {seen[-4:]}"
    assert turn == len(llm.contexts) - 1
    assert llm.stats.incremental > llm.stats.full


def tool(name: str) -> FunctionSchema:
    return FunctionSchema(name=name, description=name, properties={}, required=[])
