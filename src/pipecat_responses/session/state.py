"""What a session knows, in one place.

The session, its pool and its connections share one ``SessionState``. They change it by its
methods only, and it holds none of them, so what one of them learns reaches the others without
call-backs.
"""

from __future__ import annotations

import asyncio
from collections import deque

from pipecat_responses.protocol.capabilities import ServerCapabilities
from pipecat_responses.protocol.effects import AbandonedEnded
from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.planning import FullReason, Rewritten
from pipecat_responses.session.knowledge import ServerKnowledge
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.notices import (
    AbandonedUsage,
    Notice,
    TransportChanged,
    Unprepared,
)
from pipecat_responses.session.records import Noted
from pipecat_responses.session.stats import SessionStats
from pipecat_responses.session.stored import StoredResponses
from pipecat_responses.transport.trace import Trace

FORKS_GIVEN_UP_AFTER = 3
"""Forks in a row that may fail before the session keeps to one lane."""


MISSED_SAID_AFTER = 3
"""Answers in a row that the context gives in other words before the log says so."""


class SessionState:
    """See the module's head.

    Attributes:
        stats: Counters.
        knowledge: What is known of the server.
        stored: Responses that can be gone on from over any connection.
        log: Where lines go.
        trace: Is told of what happens.
        falls_back: Whether turns go over HTTP where no WebSocket comes through.
        forks: Whether continuing on another lane is to be used.
        blank: The reason to give for a full request where nothing is remembered.
        notices: What the listener has not been told yet.
        blocked: Whether no WebSocket comes through, and turns go over HTTP.
        detours: How often that has begun to be so.
        swallowed: Whether that is so since a connection that was opened gave no answer.
    """

    def __init__(
        self,
        capabilities: ServerCapabilities,
        log: SessionLog,
        *,
        falls_back: bool = False,
        stored: StoredResponses | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Creates the state of a session that has done nothing yet."""
        self.falls_back = falls_back
        self.stats = SessionStats()
        self.knowledge = ServerKnowledge(capabilities, log, trace)
        self.stored = stored or StoredResponses()
        self.log = log
        self.trace = trace or Trace()
        self.forks = capabilities.forks is not False
        self.blank = FullReason.FIRST
        self.notices: deque[Notice] = deque()
        self.blocked = falls_back and capabilities.websocket is False
        self.swallowed = False
        self.detours = 0
        self._heard = False
        self._wake = asyncio.Event()
        self._forks_failed = 0
        self._answers_missed = 0

    @property
    def capabilities(self) -> ServerCapabilities:
        """What the server can do, as far as is known."""
        return self.knowledge.capabilities

    # -- upkeep -------------------------------------------------------------------------------

    def changed(self) -> None:
        """Something has changed that may call for upkeep."""
        self._wake.set()

    def notify(self, notice: Notice) -> None:
        """Has the listener told, when upkeep gets to it."""
        self.notices.append(notice)
        self._wake.set()

    def looked_at(self) -> None:
        """Upkeep looks at everything now; what changes from here on wakes it again."""
        self._wake.clear()

    async def change(self) -> None:
        """Waits until something has changed."""
        await self._wake.wait()

    def note(self, what: str, text: str) -> None:
        """Tells whoever looks of something that was found out."""
        if (tell := self.trace.tell) is not None:
            tell(Noted(what, text))

    # -- what happens -------------------------------------------------------------------------

    def connection_opened(self) -> None:
        """A connection has been opened; it remembers nothing."""
        self.stats.connection_opened()
        if self.blank is not FullReason.FIRST:
            self.blank = FullReason.RECONNECTED

    def connection_free(self) -> None:
        """A connection has nothing to do, and may be lacking what the next turn continues from."""
        if Unprepared() not in self.notices:
            self.notify(Unprepared())

    def heard(self) -> None:
        """An event has come: what is sent over WebSocket is answered."""
        self._heard = True

    def unanswered(self) -> None:
        """A request over WebSocket got no answer in all the time there was."""
        if self.falls_back and not self._heard:
            self.swallowed = True
            self.block(
                ConnectionLostError(
                    "A WebSocket was opened, and nothing that is sent over it is answered",
                    failure=Failure.TIMEOUT,
                    transport="handshake",
                )
            )

    def block(self, error: ResponsesError) -> None:
        """No WebSocket comes through.

        Args:
            error: Why.
        """
        if not self.blocked:
            self.blocked = True
            self.detours += 1
            self.note("transport", f"No WebSocket comes through, turns go over HTTP: {error}")
            self.notify(TransportChanged("http", error))

    def unblock(self) -> None:
        """A WebSocket has come through."""
        if self.blocked:
            self.blocked = self.swallowed = False
            self.note("transport", "A WebSocket comes through again")
            self.notify(TransportChanged("websocket"))

    def turn_sent(self) -> None:
        """A turn's request is on its way: from here on, nothing remembered is no wonder."""
        self.blank = FullReason.NOTHING_REMEMBERED

    def memory_lost(self) -> None:
        """The server has forgotten what a request continued from."""
        self.blank = FullReason.MEMORY_LOST
        self.note("memory lost", "The server has forgotten what a request continued from")
        self.stored.forget()

    def fork_ended(self, *, taken: bool) -> None:
        """Keeps the score of forks."""
        self._forks_failed = 0 if taken else self._forks_failed + 1
        if self._forks_failed >= FORKS_GIVEN_UP_AFTER and self.forks:
            self.forks = False
            self.note("forks", "The server keeps refusing to continue from another lane")
            self.log.warning(
                "The server keeps refusing to continue from another lane: turns keep to one lane "
                "from here on"
            )

    def answer_recognised(self) -> None:
        """A turn continues from the model's own answer."""
        self._answers_missed = 0

    def answer_missed(self, rewritten: Rewritten | None) -> None:
        """A turn could not continue from the model's own answer.

        Args:
            rewritten: How the context gives it, if it gives it in other words.
        """
        if rewritten is None:
            return
        self._answers_missed += 1
        if self._answers_missed == MISSED_SAID_AFTER:
            said, written = _where_they_part(rewritten)
            self.log.warning(
                "Something behind the service writes the answers into the context in other words "
                "than the model's, so that turns carry more than they must: the model said {}, "
                "the context has {}. Look at the TTS service's text filters and transforms, and "
                "at processors between the service and the assistant's aggregator",
                repr(said),
                repr(written),
            )

    def abandoned_ended(self, ended: AbandonedEnded) -> None:
        """Counts the tokens of a response that nobody waited for."""
        if ended.usage is not None:
            self.stats.count_abandoned_tokens(ended.usage.total)
            self.notify(AbandonedUsage(ended.turn, ended.response_id, ended.usage))


def _where_they_part(rewritten: Rewritten) -> tuple[str, str]:
    """The first words that differ, with a little of what stands around them."""
    said, written = rewritten.said, rewritten.written
    pairs = enumerate(zip(said, written, strict=False))
    at = next((i for i, (one, other) in pairs if one != other), min(len(said), len(written)))
    start = max(0, at - 20)
    return said[start : at + 40], written[start : at + 40]
