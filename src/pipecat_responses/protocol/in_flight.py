"""The responses that run on a connection, and whose an event is.

- Events of a named lane carry its ``stream_id``.
- A server without lanes sends none. Then the oldest response that runs is the one that speaks,
  since such a server answers one request after the other. It may have had lanes on other
  connections: what counts is what it has sent on this one.
- An ``error`` that the server cannot tie to a lane belongs to the newest request that has no answer
  yet; if there is none, to the only response that runs and is listened to.
- What belongs to no running response (a second terminal event, a lane nobody uses) belongs to
  nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic

from pipecat_responses.protocol.effects import ListenerT
from pipecat_responses.protocol.events import Activity, Created, Event, Refused, Terminal
from pipecat_responses.protocol.lanes import Lane
from pipecat_responses.protocol.response import Response


class ResponsesInFlight(Generic[ListenerT]):
    """The responses of a connection that have not ended.

    Attributes:
        on_lane: The responses by the name of their lane, the oldest first. Only changed here.
    """

    __slots__ = ("_last_ids", "on_lane")

    def __init__(self) -> None:
        """Starts with none."""
        self.on_lane: dict[str | None, Response[ListenerT]] = {}
        self._last_ids: dict[Lane, str | None] = {}

    def __len__(self) -> int:
        """How many they are."""
        return len(self.on_lane)

    def __iter__(self) -> Iterator[Response[ListenerT]]:
        """The responses, the oldest first; they may change meanwhile."""
        return iter(list(self.on_lane.values()))

    def __contains__(self, response: Response[ListenerT]) -> bool:
        """Whether a response has not ended."""
        return self.on_lane.get(response.lane.name) is response

    def add(self, response: Response[ListenerT]) -> None:
        """A request goes out."""
        self.on_lane[response.lane.name] = response

    def remove(self, response: Response[ListenerT]) -> None:
        """A response is over before it has begun."""
        del self.on_lane[response.lane.name]

    def end(self, response: Response[ListenerT], response_id: str | None) -> None:
        """A response has ended with its terminal event.

        Args:
            response: The response.
            response_id: Its id as the event has it; a second such event is told by it.
        """
        self.remove(response)
        self._last_ids[response.lane] = response_id or response.response_id

    def succeed(self, response: Response[ListenerT], successor: Response[ListenerT]) -> None:
        """A response has ended, and the server goes on by itself on its lane."""
        self.end(response, None)
        self.add(successor)

    def move_to_default_lane(self, response: Response[ListenerT]) -> None:
        """A response has turned out to run on the default lane."""
        self.remove(response)
        response.lane.drop_name()
        self.add(response)

    def clear(self) -> None:
        """All of them are lost."""
        self.on_lane.clear()

    def owner(
        self, stream_id: str | None, event: Event, *, lanes_shown: bool
    ) -> Response[ListenerT] | None:
        """Whose an event is; None if it is nobody's.

        Args:
            stream_id: The lane that the event names, if any.
            event: The event.
            lanes_shown: Whether the server has named a lane on this connection.
        """
        found = self.on_lane.get(stream_id)
        if found is None and stream_id is None:
            if not lanes_shown and not isinstance(event, Activity):
                found = next(iter(self.on_lane.values()), None)
            elif isinstance(event, Refused):
                found = self._newest_in_doubt()
        if found is not None and self._is_stray(found, event):
            return None
        return found

    def _is_stray(self, response: Response[ListenerT], event: Event) -> bool:
        """Whether an event is left over from the response that ran on the lane before."""
        if isinstance(event, Terminal):
            if event.response_id is None or event.response_id == response.response_id:
                return False
            # A server may give a response another id at its end; one that has ended before is told
            # by its own.
            return event.response_id == self._last_ids.get(response.lane)
        if response.created or isinstance(event, (Created, Refused, Activity)):
            return False
        return response.lane in self._last_ids

    def _newest_in_doubt(self) -> Response[ListenerT] | None:
        """What an error is about that no lane can be told of: the newest that waits, or runs."""
        listening = [each for each in self.on_lane.values() if each.listening]
        waiting = [each for each in listening if not each.created]
        if waiting:
            return waiting[-1]
        return listening[0] if len(listening) == 1 else None
