"""What clients ask in the query: the page of a list, and what to include."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from pipecat_responses.sandbox import shapes
from pipecat_responses.sandbox.errors import ApiError, invalid_type
from pipecat_responses.sandbox.requests import INCLUDABLE

_Entry = TypeVar("_Entry", bound=dict[str, Any])


def integer(request: web.Request, name: str, minimum: int, maximum: int | None) -> int | None:
    """An integer of the query; None when it is not there.

    Raises:
        ApiError: When it is no integer, or out of bounds.
    """
    text = request.query.get(name)
    if text is None:
        return None
    try:
        value = int(text)
    except ValueError as error:
        raise invalid_type(name, "an integer", text) from error
    shapes.integer(minimum, maximum)(value, name)
    return value


def flag(request: web.Request, name: str, *, default: bool) -> bool:
    """A boolean of the query.

    Raises:
        ApiError: When it is neither true nor false.
    """
    text = request.query.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise invalid_type(name, "a boolean", text)
    return text == "true"


def included(request: web.Request) -> list[str]:
    """What is to be included.

    Raises:
        ApiError: For what there is not.
    """
    wanted = [*request.query.getall("include", []), *request.query.getall("include[]", [])]
    shapes.array(shapes.choice(*INCLUDABLE))(wanted, "include")
    return wanted


@dataclass(frozen=True)
class Page:
    """A part of a list that is asked for.

    Attributes:
        limit: How many entries at most.
        order: ``asc`` begins with the oldest, ``desc`` with the newest.
        after: The id of the entry behind which it begins; None for the beginning.
        before: The id of the entry in front of which it ends; None for no end.
    """

    limit: int
    order: str
    after: str | None
    before: str | None

    @classmethod
    def of(cls, request: web.Request, *, default: int = 20, maximum: int = 100) -> Page:
        """The page that a request asks for.

        Args:
            request: The request.
            default: Its limit unless it says otherwise.
            maximum: The highest limit.

        Raises:
            ApiError: When a parameter is wrong.
        """
        order = request.query.get("order", "desc")
        shapes.choice("asc", "desc")(order, "order")
        limit = integer(request, "limit", 1, maximum)
        return cls(
            default if limit is None else limit,
            order,
            request.query.get("after"),
            request.query.get("before"),
        )

    def of_list(self, entries: Iterable[_Entry]) -> dict[str, Any]:
        """The page as the API gives it.

        Args:
            entries: All entries, oldest first.

        Raises:
            ApiError: When it is to begin or end at an entry that there is not.
        """
        listed = list(entries)
        if self.order == "desc":
            listed.reverse()
        ids = [entry["id"] for entry in listed]
        start = 0 if self.after is None else _place(ids, self.after, "after") + 1
        end = len(ids) if self.before is None else _place(ids, self.before, "before")
        data = listed[start:end][: self.limit]
        return {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": start + len(data) < end,
        }


def whole_list(entries: list[_Entry]) -> dict[str, Any]:
    """A list that has one page only."""
    return Page(len(entries), "asc", None, None).of_list(entries)


def _place(ids: list[str], wanted: str, param: str) -> int:
    if wanted not in ids:
        raise ApiError(f"Item with id '{wanted}' not found.", status=404, param=param)
    return ids.index(wanted)
