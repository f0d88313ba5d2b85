"""Responses that a server has stored, and that a session can go on from over any connection.

Both transports of a service share them. Nothing is kept here unless the application asks for
``store: true``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipecat_responses.protocol.capabilities import Capability
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import Created, Event, ItemDone, Status, Terminal, TextDelta
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.lanes import Checkpoint
from pipecat_responses.protocol.refusals import BEGAN_ANEW
from pipecat_responses.protocol.requests import Request
from pipecat_responses.protocol.response import checkpoint_after, is_stored, output_of
from pipecat_responses.protocol.stored import Fingerprints, StoredMark, mark_wire
from pipecat_responses.session.knowledge import ServerKnowledge

KEPT = 16
"""Stored responses that a session keeps in mind: the newest."""


class StoredResponses:
    """See the module's head.

    Attributes:
        lost: Whether the server has forgotten what it had stored, and nothing was stored since.
    """

    def __init__(self) -> None:
        """Starts without any."""
        self.lost = False
        self._kept: list[Checkpoint] = []
        self._tried: set[str] = set()
        self._prints = Fingerprints()

    def checkpoints(self, request: Request) -> Sequence[Checkpoint]:
        """What a request may continue from."""
        return self._kept if request.fields.stored else ()

    def keep(self, checkpoint: Checkpoint) -> None:
        """A response was stored."""
        self.lost = False
        self._tried.add(checkpoint.response_id)
        self._kept = [*self._kept, checkpoint][-KEPT:]

    def forget(self) -> None:
        """The server does not know one of them any more, which says little for the others."""
        self.lost = self.lost or bool(self._kept)
        self._kept = []

    def mark(self, response_id: str | None) -> Mapping[str, Any] | None:
        """What a context has to keep of a response, or None if there is nothing to be kept."""
        for checkpoint in self._kept:
            if checkpoint.response_id == response_id:
                return mark_wire(checkpoint, self._prints)
        return None

    def recall(self, request: Request) -> None:
        """Takes up what the context of a request has kept of responses, each once."""
        if not request.fields.stored:
            return
        unknown: list[StoredMark] = []
        for mark in reversed(request.marks):
            # What comes before one that is known was looked at with it.
            if str(mark.response_id) in self._tried:
                break
            unknown.append(mark)
        for mark in reversed(unknown):
            self._tried.add(str(mark.response_id))
            checkpoint = mark.checkpoint(request.items, self._prints)
            if checkpoint is not None:
                self.keep(checkpoint)


class HttpStoring:
    """Follows a response over HTTP, to keep it in mind once it is stored."""

    def __init__(
        self,
        stored: StoredResponses,
        knowledge: ServerKnowledge,
        request: Request,
        *,
        continued: bool,
    ) -> None:
        """Follows the response to a request.

        Args:
            stored: Where it is kept in mind.
            knowledge: What is known of the server.
            request: The request.
            continued: Whether that named a response to continue from.
        """
        self._stored = stored
        self._knowledge = knowledge
        self._continued = continued
        self._request = request
        self._response_id: str | None = None
        self._items: list[Mapping[str, Any]] = []
        self._spoke = False

    def receive(self, event: Event) -> None:
        """An event of it has come.

        Raises:
            ResponsesError: If the server has not continued from what it was to continue from.
        """
        match event:
            case TextDelta():
                self._spoke = True
            case Created():
                self._response_id = event.response_id
                if self._continued and event.continues is False:
                    self._knowledge.learn(Capability.STORED_CONTINUATION, False, BEGAN_ANEW)
                    raise ResponsesError(BEGAN_ANEW, failure=Failure.OPTION_REFUSED)
            case ItemDone():
                self._items.append(event.item)
            case Terminal(status=Status.COMPLETED) if is_stored(self._request, event):
                output = output_of(event, self._items)
                checkpoint = checkpoint_after(
                    self._request, event, self._response_id, output, spoke=self._spoke
                )
                if checkpoint is not None:
                    self._stored.keep(checkpoint)
            case _:
                pass
