"""What a client and a server have said to each other, to be said again.

A cassette is a JSON file. Each of its exchanges is a request and what came of it: over HTTP an
answer, streamed or not; over a WebSocket the events of one ``response.create``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import product
from operator import eq
from pathlib import Path
from typing import Any, TypeAlias

from pipecat_responses.sandbox.redaction import REDACTED, Redactor

VERSION = 1
NO_ANSWER = 0
"""The status of a request, or of a handshake, that the server broke off without an answer."""

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

_PLACE = ("type", "stream_id", "item_id", "output_index", "content_index", "summary_index")
"""Fields by which one knows which deltas make up one text."""

_INPUT = ("input", "previous_response_id")
"""Fields that depend on what the server remembers."""


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
        status: The HTTP status; ``NO_ANSWER`` if the server broke off without one.
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
        handshakes: The statuses of attempts to open a WebSocket, in order; 101 for one that opened,
            ``NO_ANSWER`` for one that was broken off.
    """

    upstream: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    handshakes: list[int] = field(default_factory=list)

    def dumps(self, redactor: Redactor) -> str:
        """The cassette as its file has it, without secrets."""
        told = {
            "version": VERSION,
            "upstream": redactor.text(self.upstream),
            "handshakes": self.handshakes,
            "exchanges": [
                {
                    **asdict(each),
                    "path": redactor.text(each.path),
                    "query": redactor.query(each.query),
                    "request": redactor.value(each.request),
                    "headers": redactor.value(each.headers),
                    "said": _without_secrets(each.said, redactor),
                }
                for each in self.exchanges
            ],
        }
        # The file as a whole is not gone through: a pattern for numbers would take them out of
        # where JSON has to have them.
        return json.dumps(told, indent=1, ensure_ascii=False) + "\n"

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
        what is sent depends on what the server remembers, only what is new in their input. What was
        taken out of a recording may have been anything. Of several, the first that was not used;
        when all were, the last one again.

        Args:
            method: The HTTP method, or ``WEBSOCKET``.
            path: The path behind the base URL.
            body: The body, as JSON where it is.
        """
        rows = [
            (index, each)
            for index, each in enumerate(self._exchanges)
            if each.method == method and _alike(each.path, path)
        ]
        for meaning, fits in product((_whole, _new), (eq, _alike)):
            wanted = meaning(body)
            same = [row for row in rows if fits(meaning(row[1].request), wanted)]
            if same:
                index, found = next((row for row in same if row[0] not in self._used), same[-1])
                self._used.add(index)
                return found
        return None

    def closest(self, method: str, path: str, body: Any) -> str:
        """What is known of why there is none, in a sentence."""
        same = [each for each in self._exchanges if each.method == method]
        same = [each for each in same if _alike(each.path, path)]
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
    return [name for name in names if not _alike(recorded.get(name), body.get(name))]


def _without_secrets(
    said: Sequence[tuple[float, Said]], redactor: Redactor
) -> list[tuple[float, Any]]:
    """What was said, without secrets: also without those that several deltas make up."""
    told = [(round(at, 4), redactor.value(each)) for at, each in said]
    texts: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, (_, event) in enumerate(said):
        if isinstance(event, dict) and isinstance(event.get("delta"), str):
            texts[tuple(str(event.get(name)) for name in _PLACE)].append(index)
    for first, *rest in texts.values():
        safe = redactor.text("".join(_delta(said[index][1]) for index in (first, *rest)))
        if safe != "".join(_delta(told[index][1]) for index in (first, *rest)):
            # What came when would say what it was.
            told[first][1]["delta"] = safe
            for index in rest:
                told[index][1]["delta"] = ""
    return told


def _delta(event: Any) -> str:
    return str(event["delta"])


def _alike(recorded: Any, asked: Any) -> bool:
    """Whether what is asked is what was recorded, wherever nothing was taken out of that."""
    if isinstance(recorded, str) and REDACTED in recorded:
        return recorded == REDACTED or (isinstance(asked, str) and _fits(recorded, asked))
    if isinstance(recorded, Mapping) and isinstance(asked, Mapping):
        return recorded.keys() == asked.keys() and all(
            _alike(value, asked[name]) for name, value in recorded.items()
        )
    if isinstance(recorded, list | tuple) and isinstance(asked, list | tuple):
        return len(recorded) == len(asked) and all(map(_alike, recorded, asked))
    return bool(recorded == asked)


def _fits(recorded: str, asked: str) -> bool:
    """Whether a text has what is left of another one, in the same order."""
    first, *middle, last = recorded.split(REDACTED)
    if len(asked) < len(first) + len(last):
        return False
    if not (asked.startswith(first) and asked.endswith(last)):
        return False
    rest = asked[len(first) : len(asked) - len(last)]
    for part in filter(None, middle):
        _, found, rest = rest.partition(part)
        if not found:
            return False
    return True


def _whole(body: Any) -> Any:
    """All that a request asks for."""
    if not isinstance(body, dict):
        return body
    return {name: value for name, value in body.items() if name not in _VOLATILE}


def _new(body: Any) -> Any:
    """What a request says that no earlier one can have said: all behind the model's last words.

    All fields beside the input count as well. Results of tools count by their call only, since they
    may differ each time.
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
    rest = {name: value for name, value in _whole(body).items() if name not in _INPUT}
    return rest, new[::-1]


def _is_the_models(item: Mapping[str, Any]) -> bool:
    kind = item.get("type", "message")
    return item.get("role") == "assistant" or kind == "reasoning" or kind.endswith("_call")


def _meaning(item: Mapping[str, Any]) -> Any:
    content = item.get("content")
    if isinstance(content, Sequence) and not isinstance(content, str):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content if content is not None else item.get("call_id")
