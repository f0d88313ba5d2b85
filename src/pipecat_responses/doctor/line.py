"""One WebSocket with raw messages: no recovery, no planning, so that the server itself is seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipecat_responses.doctor.answers import Answer
from pipecat_responses.protocol.encoding import encode
from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError
from pipecat_responses.protocol.events import Created, Event
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.requests import Payload, cancel_payload
from pipecat_responses.transport.outbox import Outbox
from pipecat_responses.transport.websocket import Socket, SocketOptions


class Line:
    """A connection, and the answers that are awaited on it."""

    def __init__(self, within: float) -> None:
        """Prepares one; use ``open``.

        Args:
            within: Seconds that an answer may take.
        """
        self._within = within
        self._outbox = Outbox()
        self._waiting: list[Answer] = []
        self._socket: Socket | None = None
        self._lost: ResponsesError | None = None

    @classmethod
    async def open(
        cls, url: str, headers: Mapping[str, str], options: SocketOptions, within: float
    ) -> Line:
        """Opens a connection.

        Args:
            url: Where.
            headers: The handshake's headers, credentials included.
            options: How the socket behaves.
            within: Seconds that an answer may take.

        Raises:
            ResponsesError: If that fails.
        """
        line = cls(within)
        line._socket = await Socket.open(url, headers, line, line._outbox, options)
        return line

    async def close(self) -> None:
        """Closes it."""
        if self._socket is not None:
            await self._socket.close()

    def send(self, fields: Mapping[str, Any], *, lane: str | None = None) -> Answer:
        """Sends a request.

        Args:
            fields: The request's fields.
            lane: The lane to name, or None.

        Returns:
            Its answer, of which nothing has come yet.
        """
        answer = Answer(lane)
        if self._lost is not None:
            answer.fail(self._lost)
            return answer
        self._waiting.append(answer)
        message = {"type": "response.create", **fields}
        if lane is not None:
            message["stream_id"] = lane
        self._outbox.post(_payload(message))
        return answer

    async def ask(self, fields: Mapping[str, Any], *, lane: str | None = None) -> Answer:
        """Sends a request and waits for the end of its answer."""
        return await self.send(fields, lane=lane).until_ended(self._within)

    async def stop(self, answer: Answer) -> None:
        """Asks the server to stop a response, and waits until it must have read that.

        It reads messages in their order, so the answer to a ping that was sent afterwards tells.
        """
        assert answer.response_id is not None
        await self._tell(answer, cancel_payload(answer.response_id, answer.lane))

    async def steer(self, answer: Answer, text: str) -> None:
        """Gives the server more input to a response, and waits until it must have read that."""
        assert answer.response_id is not None
        message = {
            "type": "response.steer",
            "previous_response_id": answer.response_id,
            "input": [{"type": "message", "role": "user", "content": text}],
        }
        await self._tell(answer, _payload(message))

    async def _tell(self, answer: Answer, payload: Payload) -> None:
        """Sends a message about a response, and waits until the server must have read it."""
        answer.stopping()
        self._outbox.post(payload)
        if self._socket is not None and await self._socket.alive(self._within):
            # The first ping may have left before the message; this one leaves after it.
            await self._socket.alive(self._within)

    # -- what the socket calls --------------------------------------------------------------------

    def on_open(self) -> None:
        """The connection is open."""

    def on_event(self, stream_id: str | None, event: Event) -> None:
        """Gives an event to the answer it belongs to."""
        answer = self._of(stream_id)
        if answer is None:
            return
        if isinstance(event, Created):
            answer.named = stream_id
            answer.overlapped = any(each.running for each in self._waiting if each is not answer)
        answer.take(event)

    def on_undecodable(self, error: ResponsesError) -> None:
        """What is no event ends the answer that is awaited."""
        answer = self._of(None)
        if answer is not None:
            answer.fail(error)

    def on_lost(self, error: ResponsesError) -> None:
        """Ends all answers."""
        self._lost = error
        if error.failure is Failure.CLOSED:
            return
        for answer in self._waiting:
            answer.fail(ConnectionLostError(error.message))

    def _of(self, stream_id: str | None) -> Answer | None:
        """The answer on a lane; without a name, that of the oldest request, as lanes are served."""
        awaited = [each for each in self._waiting if not each.ended.is_set()]
        if stream_id is not None:
            awaited = [each for each in awaited if each.lane == stream_id]
        if awaited:
            return awaited[0]
        # An error that comes late, about one that was to be stopped.
        return self._waiting[-1] if self._waiting else None


def _payload(message: Mapping[str, Any]) -> Payload:
    data = encode(message)
    return Payload(((data,),), len(data))
