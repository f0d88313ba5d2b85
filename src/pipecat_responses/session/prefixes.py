"""What each connection has been given that a server keeps for the next request: its prefixes.

A server caches a prompt from its beginning: model, tools, effort and instructions, and the items
behind them. With a change of the former nothing behind it is of use any more, though the items are
still remembered. The cache follows the connection, so a fresh one has none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.requests import Request, items_size
from pipecat_responses.session.live import LiveConnection

FIELDS = ("model", "tools", "reasoning", "text", "instructions")
"""What stands before the items, or decides how they are read."""

KEPT = 8
"""Prefixes of a connection that are kept in mind: a flow goes to and fro between its nodes."""

WORTH = 4096
"""Bytes of items that a prefix may lack, and still count as given."""

_Values: TypeAlias = tuple[Any, ...]


class Prefixes:
    """See the module's head."""

    def __init__(self) -> None:
        """Starts with nothing given."""
        self._given: WeakKeyDictionary[LiveConnection, list[tuple[_Values, Sequence[Item]]]] = (
            WeakKeyDictionary()
        )

    def give(self, live: LiveConnection, request: Request) -> None:
        """A request goes out.

        Args:
            live: The connection.
            request: The request, fit for the server.
        """
        values = _values(request)
        given = self._given.setdefault(live, [])
        given[:] = [each for each in given if each[0] != values][1 - KEPT :]
        given.append((values, request.items))

    def lacks(self, live: LiveConnection, request: Request) -> bool:
        """Whether a connection has to be given a request's prefix before it is of use.

        What has been said since the latest request is no matter of prefixes: that goes with the
        next one.

        Args:
            live: The connection.
            request: The request, fit for the server.
        """
        values = _values(request)
        given = self._given.get(live, [])
        if given and given[-1][0] == values:
            return False
        for known, items in given:
            if known == values:
                length = len(items)
                # Going back to what was before is free, as long as little was said meanwhile.
                begins = request.items[:length] == items
                return not begins or items_size(request.items[length:]) > WORTH
        return True


def is_nothing(request: Request) -> bool:
    """Whether a request has nothing that a server could prepare."""
    fields = request.fields
    return not (request.items or fields.has("instructions") or fields.has("tools"))


def _values(request: Request) -> _Values:
    return tuple(request.fields.values.get(name) for name in FIELDS)
