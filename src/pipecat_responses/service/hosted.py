"""What tools that the server runs by itself do, as frames: a sound to play, a source to show."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipecat.frames.frames import DataFrame, OutputImageRawFrame


@dataclass
class HostedToolStartedFrame(DataFrame):
    """The model has begun to use a tool of the server's.

    Parameters:
        kind: What it is, as its item's type says: ``web_search_call``, ``mcp_call``, …
        item_id: The item's id, or an empty string.
    """

    kind: str = ""
    item_id: str = ""


@dataclass
class HostedToolEndedFrame(DataFrame):
    """The tool has finished, or its response was lost. An interruption ends all without a frame.

    Parameters:
        kind: What it is, as its item's type says.
        item_id: The item's id, or an empty string.
        query: What was searched, asked or called, where the item says so.
        item: The complete item; empty if it was lost.
    """

    kind: str = ""
    item_id: str = ""
    query: str | None = None
    item: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Citation:
    """A source that a text names.

    Attributes:
        kind: What it is: ``url_citation``, ``file_citation``, …
        url: The page, if it is one.
        title: The page's title, or the file's name.
        file_id: The file, if it is one.
        start: Where in the text it begins to be named, in characters, if the server said.
        end: Where that ends.
    """

    kind: str
    url: str | None = None
    title: str | None = None
    file_id: str | None = None
    start: int | None = None
    end: int | None = None


@dataclass
class CitationsFrame(DataFrame):
    """The sources of a message, once it is complete.

    Parameters:
        text: The message.
        citations: What it names, in its order.
    """

    text: str = ""
    citations: list[Citation] = field(default_factory=list)


def is_hosted(kind: str) -> bool:
    """Whether an item that does not run here is the use of a tool."""
    return kind.endswith("_call")


def query_of(item: Mapping[str, Any]) -> str | None:
    """What was searched, asked or called, for people."""
    action = item.get("action")
    for place in (action if isinstance(action, Mapping) else {}, item):
        for name in ("query", "url", "input", "code", "name"):
            if isinstance(value := place.get(name), str) and value:
                return value
        queries = place.get("queries")
        if isinstance(queries, list) and queries and isinstance(queries[0], str):
            return queries[0]
    return None


def read_citation(annotation: Mapping[str, Any]) -> Citation:
    """Reads an annotation of a text."""

    def text(*names: str) -> str | None:
        values = (annotation.get(name) for name in names)
        return next((value for value in values if isinstance(value, str)), None)

    def place(name: str) -> int | None:
        value = annotation.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    return Citation(
        kind=text("type") or "",
        url=text("url"),
        title=text("title", "filename"),
        file_id=text("file_id"),
        start=place("start_index"),
        end=place("end_index"),
    )


def image_frame(result: str) -> OutputImageRawFrame | None:
    """The image that was generated, or None if it cannot be read. Takes its time.

    Args:
        result: The image in base64.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(result))) as image:
            shown = image if image.mode in ("RGB", "RGBA") else image.convert("RGB")
            return OutputImageRawFrame(image=shown.tobytes(), size=shown.size, format=shown.mode)
    except (binascii.Error, OSError, ValueError, Image.DecompressionBombError):
        return None
