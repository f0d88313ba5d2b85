"""What a session knows of its server, and requests made fit for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pipecat_responses.protocol.capabilities import Capability, ServerCapabilities
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.items import Item, make_item
from pipecat_responses.protocol.options import RefusedOption, without
from pipecat_responses.protocol.refusals import understand
from pipecat_responses.protocol.requests import Fields, Request
from pipecat_responses.protocol.updates import without_updates
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.records import Noted
from pipecat_responses.transport.trace import Trace


class ServerKnowledge:
    """The capabilities of a server, and what follows from them for each request.

    Attributes:
        capabilities: What is known. Other sessions may share it.
    """

    def __init__(
        self, capabilities: ServerCapabilities, log: SessionLog, trace: Trace | None = None
    ) -> None:
        """Starts from what is known.

        Args:
            capabilities: What is known of the server.
            log: Where news go.
            trace: Is told of news.
        """
        self.capabilities = capabilities
        self._log = log
        self._trace = trace or Trace()
        self._fields: tuple[Fields, tuple[RefusedOption, ...], bool] | None = None
        self._fitted: Fields | None = None
        self._instructions: tuple[str, Item] | None = None

    # -- learning -----------------------------------------------------------------------------

    def learn(self, capability: Capability, available: bool, why: str = "") -> None:
        """The server has shown what it can do, or cannot."""
        why = self._log.mask(why)
        if not self.capabilities.learn(capability, available, why):
            return
        if (tell := self._trace.tell) is not None:
            tell(Noted(capability.value, f"{'yes' if available else 'no'}: {why}"))
        if available:
            return
        if capability is Capability.LANES:
            self._log.info(
                "The server has no lanes (stream_id): turns after an interruption go out on a "
                "spare connection"
            )
        elif capability is Capability.CONTINUATION:
            self._log.info(
                "The server does not continue from previous_response_id ({}): each turn carries "
                "the whole conversation",
                why,
            )
        else:
            self._log.debug("The server does not take {}: {}", capability.value, why)

    def refuse(self, option: RefusedOption) -> None:
        """The server does not take an optional part of requests."""
        option = replace(option, why=self._log.mask(option.why))
        if self.capabilities.refuse(option):
            if (tell := self._trace.tell) is not None:
                tell(Noted("option refused", f"{option.path}: {option.why}"))
            self._log.warning(
                "The server does not take `{}`, so requests go without it from here on: {}",
                option.path,
                option.why,
            )

    def understood(
        self,
        error: ResponsesError,
        request: Request,
        *,
        continued: bool = False,
        stored: bool = False,
    ) -> ResponsesError:
        """Learns from the refusal of a request.

        Args:
            error: The refusal.
            request: The request as it was sent.
            continued: Whether it named a response to continue from.
            stored: Whether the server was to know that one because it had stored it.

        Returns:
            The refusal, as what it has turned out to be.
        """
        found = understand(error, request, self.capabilities, continued=continued, stored=stored)
        match found.lesson:
            case None:
                pass
            case Capability():
                self.learn(found.lesson, False, found.error.message)
            case _:
                self.refuse(found.lesson)
        return found.error

    # -- fitting ------------------------------------------------------------------------------

    def fit(self, request: Request, *, may_continue: bool) -> Request:
        """A request without what the server does not take.

        Args:
            request: The request.
            may_continue: Whether it may name a response to continue from.
        """
        known = self.capabilities
        moves = (
            may_continue
            and known.instructions_when_continuing is False
            and known.continuation is not False
            and request.fields.has("instructions")
        )
        if not known.refused and not moves:
            return request
        request = without_updates(request, known.refused)
        instructions = request.fields.values.get("instructions")
        request = replace(request, fields=self._fit(request.fields, moves))
        if not moves:
            return request
        # As a message they are remembered with the rest, and need not be said again.
        return replace(
            request,
            items=[self._message(str(instructions)), *request.items],
            message_of=_behind_one(request.message_of),
        )

    def _fit(self, fields: Fields, moves: bool) -> Fields:
        refused = self.capabilities.refused
        key = (fields, refused, moves)
        if self._fitted is None or self._fields is None or not _same(self._fields, key):
            values = without(fields.values, refused)
            if moves:
                del values["instructions"]
            self._fields, self._fitted = key, Fields(values)
        return self._fitted

    def _message(self, instructions: str) -> Item:
        if self._instructions is None or self._instructions[0] != instructions:
            item = make_item({"role": "system", "content": instructions})
            self._instructions = (instructions, item)
        return self._instructions[1]


def _same(
    one: tuple[Fields, tuple[RefusedOption, ...], bool],
    other: tuple[Fields, tuple[RefusedOption, ...], bool],
) -> bool:
    return one[0] is other[0] and one[1] is other[1] and one[2] == other[2]


def _behind_one(message_of: Callable[[int], int | None]) -> Callable[[int], int | None]:
    return lambda index: None if index == 0 else message_of(index - 1)
