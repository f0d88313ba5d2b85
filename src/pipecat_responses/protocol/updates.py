"""Items that change how the model answers from their place in the conversation on.

``configuration_update`` sets another reasoning effort behind what the server has in its cache; the
request's own field stays what it was, since changing that would lose the cache.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipecat_responses.protocol.items import Item, OtherItem
from pipecat_responses.protocol.options import RefusedOption
from pipecat_responses.protocol.requests import Request

UPDATE = "configuration_update"

REFUSED = f"input.{UPDATE}"
"""Where the capabilities of a server say that it does not take such items."""


def takes_updates(model: str) -> bool:
    """Whether a model takes such items: those of the gpt-6 family do.

    Args:
        model: The model's name.
    """
    return model.lower().startswith("gpt-6")


def effort_update(effort: str) -> Item:
    """The item that sets a reasoning effort.

    Args:
        effort: The effort from its place on.
    """
    return OtherItem({"type": UPDATE, "reasoning": {"effort": effort}})


def refuses_updates(message: str, request: Request) -> bool:
    """Whether the refusal of a request is about such an item in it.

    Args:
        message: What the server said.
        request: The request.
    """
    return UPDATE in message and any(map(_is_update, request.items))


def without_updates(request: Request, refused: tuple[RefusedOption, ...]) -> Request:
    """A request without such items, if the server does not take them: its field says the effort.

    Args:
        request: The request.
        refused: What the server does not take.
    """
    model = request.fields.model
    if not any(each.path == REFUSED and each.model in (None, model) for each in refused):
        return request
    kept = [index for index, item in enumerate(request.items) if not _is_update(item)]
    if len(kept) == len(request.items):
        return request
    newest = next(item for item in reversed(request.items) if _is_update(item))
    given: Any = request.fields.values.get("reasoning")
    fields = request.fields
    if given:
        fields = fields.changed(reasoning={**given, **newest.wire["reasoning"]})
    message_of = request.message_of
    return replace(
        request,
        fields=fields,
        items=[request.items[index] for index in kept],
        message_of=lambda index: message_of(kept[index]),
    )


def _is_update(item: Item) -> bool:
    return item.wire.get("type") == UPDATE
