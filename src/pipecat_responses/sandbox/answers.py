"""What the model is given, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, TypedDict

import msgspec
from msgspec import Meta

from pipecat_responses.sandbox.faults import Fault, fault_from_json
from pipecat_responses.sandbox.transcript import Transcript, item_text
from pipecat_responses.sandbox.typed import made

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=86_400)]


@dataclass(frozen=True)
class Citation:
    """A place on the web that a text cites.

    Attributes:
        quote: The words of the text that are the citation.
        url: The address.
        title: The page's title.
    """

    quote: str
    url: str
    title: str = ""


class Note(NamedTuple):
    """An annotation of a text.

    Attributes:
        end: How much of the text is said when it is added.
        annotation: The annotation as it goes over the wire.
    """

    end: int
    annotation: Mapping[str, Any]


@dataclass(frozen=True)
class Text:
    """A message that says something.

    Attributes:
        text: What it says.
        tokens: The pieces in which it is streamed; None cuts it into words.
        phase: ``commentary`` for what is said on the way to the answer, ``final_answer`` for the
            answer; None leaves it out.
        annotations: Citations, and any other annotation as it goes over the wire.
        logprobs: The log probability of each of the tokens, given where the request asks for
            them; None makes them up.
    """

    text: str
    tokens: Sequence[str] | None = None
    phase: Literal["commentary", "final_answer"] | None = None
    annotations: Sequence[Citation | Mapping[str, Any]] = ()
    logprobs: Sequence[float] | None = None

    def __post_init__(self) -> None:
        """Checks that the pieces make up the text, and that it has what it cites."""
        if self.tokens is not None and "".join(self.tokens) != self.text:
            raise ValueError("The tokens of a Text must join to its text")
        if self.logprobs is not None and len(self.logprobs) != len(self.tokens or ()):
            raise ValueError("The logprobs of a Text need its tokens, one for each")
        if self.phase not in (None, "commentary", "final_answer"):
            raise ValueError("The phase of a Text is 'commentary' or 'final_answer'")
        for each in self.annotations:
            if isinstance(each, Citation) and each.quote not in self.text:
                raise ValueError(f"The text does not have what it cites: {each.quote!r}")
            if not isinstance(each, Citation) and not isinstance(_end_of(each), int):
                raise ValueError("The index of an annotation, and its end_index, are numbers")

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """The annotations with their places, in the order in which they are added."""
        return tuple(sorted((self._note(each) for each in self.annotations), key=lambda n: n.end))

    def _note(self, given: Citation | Mapping[str, Any]) -> Note:
        if not isinstance(given, Citation):
            return Note(min(_end_of(given), len(self.text)), given)
        start = self.text.index(given.quote)
        end = start + len(given.quote)
        places = {"start_index": start, "end_index": end}
        cited = {"type": "url_citation", "url": given.url, "title": given.title}
        return Note(end, {**cited, **places})


def _end_of(annotation: Mapping[str, Any]) -> Any:
    return annotation.get("end_index", annotation.get("index", 0))


@dataclass(frozen=True)
class Refusal:
    """A message in which the model declines."""

    text: str


@dataclass(frozen=True)
class Call:
    """A call of a function, or of a custom tool when the request has one of that name.

    Attributes:
        name: The tool.
        arguments: Its arguments, as a JSON-able mapping or as the raw string to stream.
        call_id: The call's id; None makes one up.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    call_id: str | None = None

    def __post_init__(self) -> None:
        """Refuses arguments that are neither an object nor a string."""
        if not isinstance(self.arguments, Mapping | str):
            raise ValueError(f"The arguments of a Call are an object, not {self.arguments!r:.80}")

    @property
    def raw_arguments(self) -> str:
        """The arguments as they go over the wire."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(dict(self.arguments))


@dataclass(frozen=True)
class Reasoning:
    """A reasoning item.

    Attributes:
        summary: The summary's parts, streamed if there are any.
        encrypted_content: The opaque content; None makes one up when the request includes it.
    """

    summary: Sequence[str] = ()
    encrypted_content: str | None = None

    def __post_init__(self) -> None:
        """Takes a single string for a summary of one part."""
        if isinstance(self.summary, str):
            object.__setattr__(self, "summary", (self.summary,))


@dataclass(frozen=True)
class Compaction:
    """A compaction item: all items so far, in opaque form.

    Attributes:
        items: What it stands for.
    """

    items: Sequence[Mapping[str, Any]] = ()


class _AnyHosted(TypedDict, total=False):
    id: str
    status: str


class _CodeCall(_AnyHosted, total=False):
    code: str | None


class _McpCall(_AnyHosted, total=False):
    arguments: str


class _Commands(TypedDict, total=False):
    commands: list[str]


class _ShellCall(_AnyHosted):
    action: _Commands


_HOSTED: Mapping[str, type] = {
    "code_interpreter_call": _CodeCall,
    "mcp_call": _McpCall,
    "shell_call": _ShellCall,
}
"""What items must have whose events tell of it piece by piece."""
_NOT_HOSTED = ("message", "reasoning", "function_call", "custom_tool_call", "configuration_update")


@dataclass(frozen=True)
class HostedCall:
    """A call of one of the API's own tools: with what came of it, if the server runs it.

    ``shell_call`` and ``apply_patch_call`` are run by the client; a ``call_id`` is made up.

    Attributes:
        item: The item as it is once the tool has finished: its ``type`` (``web_search_call``,
            ``mcp_call``, ...) and what that has. An ``id`` is made up where there is none.
        seconds: How long the tool runs; None for ``SandboxConfig.hosted_seconds``.
        partial_images: Images that are shown before an ``image_generation_call`` is completed,
            base64.
    """

    item: Mapping[str, Any]
    seconds: Seconds | None = None
    partial_images: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Checks that the item says what it is."""
        kind = self.item.get("type")
        if not isinstance(kind, str):
            raise ValueError("The item of a HostedCall needs a type, such as 'web_search_call'")
        if kind in _NOT_HOSTED or kind.endswith("_output"):
            raise ValueError(f"A {kind} is no call of one of the API's own tools")
        try:
            msgspec.convert(dict(self.item), _HOSTED.get(kind, _AnyHosted))
        except msgspec.ValidationError as error:
            raise ValueError(f"Not a {kind}: {error}") from error


Part = Text | Refusal | Call | Reasoning | Compaction | HostedCall


@dataclass(frozen=True)
class Answer:
    """One response of the model.

    Attributes:
        parts: Its output items in order; a string stands for a ``Text``. None at all is an answer
            that is completed and empty.
        incomplete_reason: Ends it as ``response.incomplete`` for this reason.
        failed: Ends it as ``response.failed`` with this error (``code`` and ``message``).
        time_to_first_token: Seconds, instead of the configured ones.
        tokens_per_second: Pace, instead of the configured one.
        faults: What goes wrong while it is given: at any moment from ``created`` on, or an
            ``error`` or ``http_html`` instead of it, at the ``request``.

    Raises:
        ValueError: For a fault whose moment is over before there is an answer.
    """

    parts: Sequence[Part | str] = ()
    incomplete_reason: str | None = None
    failed: Mapping[str, Any] | None = None
    time_to_first_token: Seconds | None = None
    tokens_per_second: Annotated[float, Meta(ge=0)] | None = None
    faults: Sequence[Fault] = ()

    def __post_init__(self) -> None:
        """Normalises the parts."""
        for fault in self.faults:
            refuses = fault.moment == "request" and fault.kind in ("error", "http_html")
            if fault.moment in ("handshake", "idle", "request") and not refuses:
                raise ValueError(
                    f"A fault of kind {fault.kind!r} at {fault.moment!r} comes before any answer; "
                    "add it to the sandbox's faults"
                )
        parts = [self.parts] if isinstance(self.parts, str | Part) else self.parts
        object.__setattr__(
            self, "parts", tuple(Text(part) if isinstance(part, str) else part for part in parts)
        )

    @property
    def items(self) -> tuple[Part, ...]:
        """The parts, all of them as objects."""
        return tuple(part for part in self.parts if not isinstance(part, str))

    @property
    def text(self) -> str:
        """All that the answer says."""
        return "".join(part.text for part in self.items if isinstance(part, Text))


def as_answer(value: Answer | Part | str) -> Answer:
    """Accepts the shorthands for an answer: a string, or a single part."""
    return value if isinstance(value, Answer) else Answer((value,))


def answer_from_json(value: object) -> Answer:
    """Reads an answer as the control endpoint takes it.

    Args:
        value: A string, or an object with the fields of ``Answer``, where each of ``parts`` is a
            string or an object with a ``type`` of ``text``, ``refusal``, ``call``, ``reasoning``
            or ``hosted`` and the fields of that class.

    Returns:
        The answer.

    Raises:
        ValueError: When the value is none of these.
    """
    if isinstance(value, str):
        return Answer((value,))
    if not isinstance(value, dict):
        raise ValueError("An answer is a string or an object")
    fields = dict(value)
    readers: dict[str, Callable[[object], Any]] = {
        "parts": _part_from_json,
        "faults": fault_from_json,
    }
    for name, read in readers.items():
        if not isinstance(fields.get(name, []), list):
            raise ValueError("The parts of an answer, and its faults, are arrays")
        fields[name] = [read(each) for each in fields.get(name, ())]
    return made(Answer, fields, "An answer", {"parts": Any, "faults": Any})


def _part_from_json(value: object) -> Part:
    if isinstance(value, str):
        return Text(value)
    if not isinstance(value, dict):
        raise ValueError("A part is a string or an object")
    fields = dict(value)
    kind = fields.pop("type", "text")
    makers: dict[str, Callable[..., Part]] = {
        "text": Text,
        "refusal": Refusal,
        "call": Call,
        "reasoning": Reasoning,
        "hosted": HostedCall,
    }
    if not isinstance(kind, str) or kind not in makers:
        raise ValueError(f"Unknown part {kind!r:.80}; known are {', '.join(makers)}")
    if isinstance(fields.get("annotations"), list):
        fields["annotations"] = [
            made(Citation, each, "A citation")
            if isinstance(each, dict) and "quote" in each
            else msgspec.convert(each, dict[str, Any])
            for each in fields["annotations"]
        ]
    types: dict[str, dict[str, Any]] = {
        "text": {"annotations": list[Any]},
        "reasoning": {"summary": str | list[str]},
    }
    return made(makers[kind], fields, f"A part of type {kind!r}", types.get(kind, {}))


@dataclass(frozen=True)
class ModelInput:
    """All that the model sees of one request.

    Attributes:
        model: The model asked for.
        instructions: The request's instructions, or None.
        tools: The request's tools as sent.
        tool_choice: The request's tool choice, ``auto`` by default.
        parallel_tool_calls: Whether more than one call may be made at once.
        settings: The whole request body.
        transcript: The items behind and in this request.
        transport: ``websocket`` or ``http``.
        stream_id: The lane's name, None on the default lane and over HTTP.
        family: The known model behind a deployment's name; None when the model's own name says it.
        seed: Which of the possible values the built-in answers take.
        persona: Whether the built-in answers are those of the persona.
        now: The time of the request, as the clock on the wall shows it.
    """

    model: str
    instructions: str | None
    tools: Sequence[Mapping[str, Any]]
    tool_choice: str | Mapping[str, Any]
    parallel_tool_calls: bool
    settings: Mapping[str, Any]
    transcript: Transcript
    transport: str
    stream_id: str | None
    family: str | None = None
    seed: int = 0
    persona: bool = False
    now: datetime = field(default_factory=datetime.now)

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """Every item that the model sees, oldest first."""
        return self.transcript.items()

    @property
    def count(self) -> int:
        """How many items the model sees, without building the list."""
        return self.transcript.count

    def newest_first(self) -> Iterator[dict[str, Any]]:
        """The items from the newest to the oldest, without building the list."""
        return self.transcript.newest_first()

    @property
    def last_user_text(self) -> str | None:
        """The text of the newest user message, or None."""
        for item in self.newest_first():
            if item.get("role") == "user":
                return item_text(item)
        return None
