"""A response on a lane, from its request to its terminal event.

A turn may let go of its response at any time. The response lives on until the server ends it, since
its lane is taken until then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from pipecat_responses.protocol.effects import ListenerT
from pipecat_responses.protocol.events import Terminal, Usage
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.lanes import Checkpoint, Lane
from pipecat_responses.protocol.output import read_output
from pipecat_responses.protocol.requests import Request
from pipecat_responses.protocol.steering import Steers


@dataclass(slots=True, eq=False)
class Response(Generic[ListenerT]):
    """One response. Only its connection changes it.

    Attributes:
        listener: Who gets its events.
        lane: The lane it runs on.
        request: What was asked.
        turn: The number of the turn it belongs to.
        keeps: Whether its checkpoint is one to continue the conversation from.
        parent: The checkpoint it continues from.
        fork: Whether that is another lane's.
        from_stored: Whether no lane remembers that, and the server has it because it has stored it.
        restore: What the lane remembered before, in case the request never leaves.
        response_id: Its id, once the server has said it.
        created: Whether the server has accepted it.
        listening: Whether anybody still waits for it.
        cancelled: Whether the server was asked to stop it.
        spoke: Whether any of its text has come.
        usage: Its tokens, once the server has said.
        sent: The items that its request carried.
        suspect: Whether the server seems not to continue from what it was to continue from.
        steers: What it was given while it ran.
        successor: The response that the server goes on with by itself, once there is one.
    """

    listener: ListenerT
    lane: Lane
    request: Request
    turn: int
    keeps: bool
    parent: Checkpoint | None
    fork: bool
    from_stored: bool
    restore: Checkpoint | None
    response_id: str | None = None
    created: bool = False
    listening: bool = True
    cancelled: bool = False
    spoke: bool = False
    usage: Usage | None = None
    sent: Sequence[Item] = ()
    suspect: bool = False
    steers: Steers = field(default_factory=Steers)
    successor: Response[ListenerT] | None = None
    _items: list[Mapping[str, Any]] = field(default_factory=list)
    # Of the responses that it is the successor of: what they put out, and what was said meanwhile.
    _before: tuple[Mapping[str, Any], ...] = ()
    _given: tuple[Item, ...] = ()

    def accept(self, response_id: str | None) -> None:
        """The server has accepted the request."""
        self.created = True
        self.response_id = response_id

    def speak(self) -> None:
        """A piece of its text has come."""
        self.spoke = True

    def finish_item(self, wire: Mapping[str, Any]) -> None:
        """An item of it is complete."""
        self._items.append(wire)

    def stop_listening(self) -> None:
        """Nobody waits for it any more."""
        self.listening = False

    def cancel(self) -> None:
        """The server is asked to stop it."""
        self.cancelled = True

    def end(self, usage: Usage | None) -> None:
        """The server has ended it, whether anybody waits for it or not."""
        self.usage = usage

    def doubt(self) -> None:
        """The server seems not to continue from its parent; its token count will tell."""
        self.suspect = True

    # -- steering -----------------------------------------------------------------------------

    def steer(self, items: Sequence[Item]) -> None:
        """The server is given more messages while the response runs."""
        self.steers.ask(items)

    def steer_accepted(self) -> None:
        """The server has taken them."""
        self.steers.accept()

    def steer_failed(self) -> None:
        """The server does not go on with them."""
        self.steers.fail()

    def steer_waits(self) -> None:
        """They wait for the client's next request, which may come from another checkpoint."""
        self.steers.wait_for_client()
        self.keeps = False

    def hold(self, event: Terminal) -> None:
        """It has ended, and the server may go on by itself."""
        self.steers.held = event

    def succeed(self) -> Response[ListenerT]:
        """The server goes on by itself, with what was said meanwhile.

        Returns:
            The response that it goes on with, on the same lane.
        """
        held = self.steers.held
        assert held is not None
        output = list(output_of(held, self._items))
        # Reasoning that has led to nothing stands in no context.
        while output and output[-1].get("type") == "reasoning":
            output.pop()
        self.successor = Response(
            listener=self.listener,
            lane=self.lane,
            request=self.request,
            turn=self.turn,
            keeps=self.keeps and all(each.get("status") != "incomplete" for each in output),
            parent=None,
            fork=False,
            from_stored=False,
            restore=None,
            listening=self.listening,
            _before=(*self._before, *output),
            _given=(*self._given, *self.steers.accepted),
        )
        return self.successor

    def was_remembered(self, event: Terminal) -> bool | None:
        """Whether the token count shows that its parent was part of it; None if it cannot tell.

        Args:
            event: Its terminal event.
        """
        before = self.parent.usage if self.parent is not None else None
        if self.parent is None or before is None or event.usage is None or not event.usage.input:
            return None
        new = before.input + _tokens(self.sent)
        with_parent = new + before.output - before.reasoning
        without = new - _tokens(self.parent.items)
        return event.usage.input > (with_parent + without) / 2

    def was_not_prepared(self, event: Terminal) -> bool:
        """Whether the server has answered a request that asked for no answer."""
        return not self.request.generate and bool(self.spoke or self._items or event.output)

    @property
    def succeeds(self) -> bool:
        """Whether the server has made it by itself, to go on with what was said meanwhile."""
        return bool(self._given)

    def checkpoint(self, event: Terminal) -> Checkpoint | None:
        """What the server can continue from after it, or None if that is not certain.

        Args:
            event: Its terminal event, with status completed.
        """
        if not self.keeps or self.was_not_prepared(event):
            return None
        return checkpoint_after(
            self.request,
            event,
            self.response_id,
            [*self._before, *output_of(event, self._items)],
            spoke=self.spoke,
            given=self._given,
        )


def _tokens(items: Sequence[Item]) -> float:
    """About how many tokens items have: some for each, and one for four letters."""
    return sum(4 + max(0, each.size - _FRAME) / 4 for each in items)


_FRAME = 50
"""Bytes of an item that are not its words, about."""


def is_stored(request: Request, event: Terminal) -> bool:
    """Whether a server has stored the response to a request.

    An organization without data retention may ask for it, and is told that it was not done.
    Whether it is done to what puts nothing out, nobody says.
    """
    asked = request.fields.stored and request.generate
    return asked and event.details.get("store") is not False


def output_of(event: Terminal, items: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
    """What a response has put out.

    Args:
        event: Its terminal event.
        items: Its items that were complete before. Some servers list nothing at the end of what
            they have streamed.
    """
    listed = event.output or ()
    return listed if len(listed) >= len(items) else items


def checkpoint_after(
    request: Request,
    event: Terminal,
    response_id: str | None,
    output: Sequence[Any],
    *,
    spoke: bool,
    given: tuple[Item, ...] = (),
) -> Checkpoint | None:
    """What the server can continue from after a response, or None if that is not certain.

    Args:
        request: What was asked.
        event: The response's terminal event, with status completed.
        response_id: Its id, if the server has said it before.
        output: What it has put out.
        spoke: Whether any of its text has come.
        given: What was said while it ran.
    """
    response_id = event.response_id or response_id
    if response_id is None:
        return None
    put_out = read_output(output, request.fields.custom_tools, given)
    if put_out is None or (spoke and not put_out.text):
        return None
    return Checkpoint(
        response_id,
        request.fields.model,
        request.items,
        put_out,
        resumed=request.resumes,
        prepared=not request.generate,
        usage=event.usage,
    )
