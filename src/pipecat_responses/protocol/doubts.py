"""Refusals that do not say what they refuse.

There are two, and each costs one repeated request at most:

- An error that names no lane, while a ``response.cancel`` has no answer yet. It may be that answer,
  or the refusal of the request that waits; so the courtesy is given up, and the request is made
  again.
- A refusal of the first request that names a lane, in words that are not known. It may be the name
  that is refused; so the request is made again without one. If it is accepted, the server has no
  lanes; if not, it was something else.
"""

from __future__ import annotations

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.lanes import Lane, LaneSet

_SAYS_NOTHING = (Failure.REQUEST, Failure.CONTENT, Failure.ENDPOINT, Failure.SERVER)
"""Errors that may be about a ``response.cancel``, where they name no lane."""


class CancelDoubt:
    """The cancels that the server has not answered."""

    __slots__ = ("_unanswered",)

    def __init__(self) -> None:
        """Starts with none."""
        self._unanswered = 0

    def sent(self) -> None:
        """A cancel goes out."""
        self._unanswered += 1

    def settled(self) -> None:
        """A response that was told to stop has ended."""
        self._unanswered = max(0, self._unanswered - 1)

    def given_up(self) -> None:
        """No more cancels are sent."""
        self._unanswered = 0

    def concerns(self, error: ResponsesError, *, stream_id: str | None, runs: bool) -> bool:
        """Whether an error may answer a cancel.

        Args:
            error: The error.
            stream_id: The lane that it names, if any.
            runs: Whether a response runs on that lane.
        """
        if self._unanswered == 0:
            return False
        if says_cancel(error):
            return True
        return not runs if stream_id is not None else error.failure in _SAYS_NOTHING


def says_cancel(error: ResponsesError) -> bool:
    """Whether an error says that it is about a cancel."""
    return error.param == "type" or "response.cancel" in error.message


def says_steer(error: ResponsesError) -> bool:
    """Whether an error says that it is about a ``response.steer``.

    One about a cancel may list what else there is.
    """
    return "response.steer" in error.message and "response.cancel" not in error.message


class LaneDoubt:
    """Whether the refusal of a request was about the name of its lane.

    Attributes:
        open: Whether that is being found out, by a request without a name.
    """

    __slots__ = ("open",)

    def __init__(self) -> None:
        """Starts without a doubt."""
        self.open = False

    def accepted(self, lane: Lane) -> bool:
        """A request was accepted.

        Returns:
            Whether that shows that the server has no lanes.
        """
        shown = self.open and lane.name is None
        if shown:
            self.open = False
        return shown

    def refused(self, error: ResponsesError, lane: Lane, lanes: LaneSet) -> bool:
        """A request was refused.

        Returns:
            Whether it may be the name of its lane that was refused, and only another request
            can tell.
        """
        unexplained = error.failure is Failure.REQUEST or error.status == 422
        if not unexplained or error.param is not None or error.code is not None:
            return False
        if lane.name is not None and lanes.named is None and not self.open:
            self.open = True
            return True
        if lane.name is None and self.open:
            # Refused without a name as well: it was something else.
            self.open = False
            lanes.doubt_names()
        return False
