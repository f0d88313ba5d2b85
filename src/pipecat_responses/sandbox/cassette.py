"""What a client and a server have said to each other, to be said again.

A cassette is a JSON file. Each of its exchanges is a request and what came of it: over HTTP an
answer, streamed or not; over a WebSocket the events of one ``response.create``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from pipecat_responses.sandbox.redaction import Redactor

VERSION = 1

Said: TypeAlias = dict[str, Any] | str
"""An event; or what was no JSON object, as text."""

_VOLATILE = (
    "type",
    "stream",
    "stream_id",
    "client_metadata",
    "prompt_cache_key",
    "safety_identifier",
    "user",
    "metadata",
)
"""Fields that do not change what is asked, and that clients make up anew each time."""


class CassetteError(ValueError):
    """A file that is no cassette."""


@dataclass
class Exchange:
    """One request and what came of it.

    Attributes:
        transport: ``http`` or ``websocket``.
        method: The HTTP method; ``WEBSOCKET`` for a message of one.
        path: The path behind the base URL, such as ``/responses``.
        query: The query parameters.
        request: The body, as JSON where it is; None for none.
        status: The HTTP status.
        headers: The answer's headers that matter to a client.
        said: What came, each with its seconds since the request.
        stream: Whether they are server-sent events or messages, and not one body.
        closed: The code with which the WebSocket was closed before the end; 1006 without one. Over
            HTTP, 1006 if the answer broke off.
    """

    transport: str
    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    request: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    said: list[tuple[float, Said]] = field(default_factory=list)
    stream: bool = True
    closed: int | None = None


@dataclass
class Cassette:
    """Exchanges in the order in which they began.

    Attributes:
        upstream: The server that they were held with.
        exchanges: The exchanges.
        handshakes: The statuses of attempts to open a WebSocket, in order; 101 for one that opened.
    """

    upstream: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    handshakes: list[int] = field(default_factory=list)

    def dumps(self, redactor: Redactor) -> str:
        """The cassette as its file has it, without secrets."""
        told = {
            "version": VERSION,
            "upstream": self.upstream,
            "handshakes": self.handshakes,
            "exchanges": [
                {
                    **asdict(each),
                    "query": redactor.query(each.query),
                    "request": redactor.value(each.request),
                    "headers": redactor.value(each.headers),
                    "said": [(round(at, 4), redactor.value(said)) for at, said in each.said],
                }
                for each in self.exchanges
            ],
        }
        # Once more over the whole, for what stands across fields.
        return redactor.text(json.dumps(told, indent=1, ensure_ascii=False)) + "\n"

    @classmethod
    def read(cls, path: str | Path) -> Cassette:
        """Reads a cassette.

        Raises:
            CassetteError: When the file is none.
            OSError: When it cannot be read.
        """
        try:
            told = json.loads(Path(path).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise CassetteError(f"{path} is no cassette: it is not JSON") from error
        if not isinstance(told, dict) or told.get("version") != VERSION:
            raise CassetteError(f"{path} is no cassette of version {VERSION}")
        known = {each.name for each in fields(Exchange)}
        try:
            exchanges = []
            for each in told["exchanges"]:
                values = {name: value for name, value in each.items() if name in known}
                values["said"] = [(float(at), said) for at, said in each["said"]]
                exchanges.append(Exchange(**values))
            return cls(str(told["upstream"]), exchanges, [int(each) for each in told["handshakes"]])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CassetteError(f"{path} is no cassette: {error!r}") from error


class Player:
    """Finds the exchange that a request is to get the answer of."""

    def __init__(self, cassette: Cassette) -> None:
        """Begins with every exchange unused."""
        self._exchanges = cassette.exchanges
        self._used: set[int] = set()

    def find(self, method: str, path: str, body: Any) -> Exchange | None:
        """The exchange whose request says the same.

        First whole requests are compared, less what clients make up anew each time; then, since
        what is sent depends on what the server remembers, only what is new in them. Of several, the
        first that was not used; when all were, the last one again.

        Args:
            method: The HTTP method, or ``WEBSOCKET``.
            path: The path behind the base URL.
            body: The body, as JSON where it is.
        """
        rows = [
            (index, each)
            for index, each in enumerate(self._exchanges)
            if (each.method, each.path) == (method, path)
        ]
        for meaning in (_whole, _new):
            wanted = meaning(body)
            same = [row for row in rows if meaning(row[1].request) == wanted]
            if same:
                index, found = next((row for row in same if row[0] not in self._used), same[-1])
                self._used.add(index)
                return found
        return None

    def closest(self, method: str, path: str, body: Any) -> str:
        """What is known of why there is none, in a sentence."""
        same = [each for each in self._exchanges if (each.method, each.path) == (method, path)]
        if not same:
            return f"The cassette has nothing for {method} {path}."
        if not isinstance(body, dict):
            return "The cassette has no such body."
        differing = [_differing(each.request, body) for each in same]
        least = min(differing, key=len)
        return f"The cassette has no such request; the closest differs in {', '.join(least)}."


def _differing(recorded: Any, body: Mapping[str, Any]) -> list[str]:
    recorded = recorded if isinstance(recorded, dict) else {}
    names = sorted({*recorded, *body} - set(_VOLATILE))
    return [name for name in names if recorded.get(name) != body.get(name)]


def _whole(body: Any) -> Any:
    """All that a request asks for."""
    if not isinstance(body, dict):
        return body
    return {name: value for name, value in body.items() if name not in _VOLATILE}


def _new(body: Any) -> Any:
    """What a request says that no earlier one can have said: all behind the model's last words.

    Results of tools count by their call only, since they may differ each time.
    """
    if not isinstance(body, dict):
        return body
    items = body.get("input")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if not isinstance(items, list):
        return body
    new: list[Any] = []
    for item in reversed(items):
        if not isinstance(item, dict) or _is_the_models(item):
            break
        new.append((item.get("type", "message"), item.get("role"), _meaning(item)))
    return body.get("model"), body.get("generate") is not False, new[::-1]


def _is_the_models(item: Mapping[str, Any]) -> bool:
    kind = item.get("type", "message")
    return item.get("role") == "assistant" or kind == "reasoning" or kind.endswith("_call")


def _meaning(item: Mapping[str, Any]) -> Any:
    content = item.get("content")
    if isinstance(content, Sequence) and not isinstance(content, str):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content if content is not None else item.get("call_id")
