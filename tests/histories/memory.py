"""What a server remembers of the responses on one connection, and so what it has been told.

Written from OpenAI's WebSocket mode guide: of each lane, the latest response only; a response may
continue from any lane's; a refused request takes its parent with it if that is on the same lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.histories.meaning import Wire
from tests.histories.steps import Asked


@dataclass(frozen=True)
class Remembered:
    """A response that can be continued from.

    Attributes:
        response_id: Its id.
        items: All items behind it, its own output included.
    """

    response_id: str
    items: tuple[Wire, ...]


class Memory:
    """The memory of one connection."""

    def __init__(self) -> None:
        self._lanes: dict[str | None, Remembered] = {}

    def tell(self, asked: Asked) -> list[Wire] | None:
        """Works out what the server knows with a request; None if its parent is unknown."""
        fresh = as_items(asked.body.get("input"))
        if asked.parent is None:
            return fresh
        for each in self._lanes.values():
            if each.response_id == asked.parent:
                return [*each.items, *fresh]
        return None

    def complete(self, asked: Asked, response_id: str, output: Sequence[Wire]) -> None:
        """A response has completed."""
        told = asked.told or []
        self._lanes[asked.lane] = Remembered(response_id, (*told, *output))

    def refuse(self, asked: Asked) -> None:
        """A request has been refused."""
        held = self._lanes.get(asked.lane)
        if held is not None and held.response_id == asked.parent:
            del self._lanes[asked.lane]


def as_items(given: object) -> list[Wire]:
    """The input of a request as a list of items."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
