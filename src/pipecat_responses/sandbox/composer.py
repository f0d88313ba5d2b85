"""From an answer to the events of its response, in the documented order. No I/O and no clock.

A composer is a generator of events that keeps track of what it has said, so that whoever sends
them may stop at any event and still get the right terminal event: one whose output holds what had
been said until then.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pipecat_responses.sandbox import hosted_events, logprobs, opaque
from pipecat_responses.sandbox.answers import (
    Answer,
    Call,
    Compaction,
    HostedCall,
    ModelInput,
    Part,
    Reasoning,
    Refusal,
    Text,
)
from pipecat_responses.sandbox.config import (
    SandboxConfig,
    caches_at_breakpoints,
    default_effort,
    is_reasoning_model,
)
from pipecat_responses.sandbox.text import count_tokens, split_fixed, split_words
from pipecat_responses.sandbox.transcript import SERVERS_CALL, Item

Event = dict[str, Any]

_PADDING = "k3Jq9wZt0XcVbN5m"
_SILENT_EFFORTS = ("none", "minimal")


class Step(NamedTuple):
    """One event of an answer.

    Attributes:
        event: The event.
        kind: ``text``, ``call`` or ``reasoning`` for the deltas of such a part, which are the
            tokens that take time; ``call_added`` for the announcement of a call; ``tool`` when a
            tool that the server runs has finished; None otherwise.
        pause: Seconds that pass before it.
    """

    event: Event
    kind: Literal["text", "call", "reasoning", "call_added", "tool"] | None = None
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class InputUsage:
    """Tokens of a request's input.

    Attributes:
        total: All of them.
        cached: Those that were in the prompt cache.
        written: Those that are in there now, as far as that is billed.
    """

    total: int
    cached: int
    written: int = 0


def new_id(prefix: str) -> str:
    """A fresh id such as ``resp_…``."""
    return f"{prefix}_{uuid.uuid4().hex}"


class Composer:
    """The events of one response.

    Attributes:
        response_id: The response's id.
        output: The items completed so far.
        truncated: Whether ``max_output_tokens`` cut the answer.
    """

    def __init__(self, given: ModelInput, usage: InputUsage, config: SandboxConfig) -> None:
        """Prepares the response to a request.

        Args:
            given: The request as the model sees it.
            usage: Tokens of its input.
            config: How the server writes its answers.
        """
        self.response_id = new_id("resp")
        self.output: list[Item] = []
        self.truncated = False
        self._given = given
        self._input_usage = usage
        self._config = config
        options = given.settings.get("stream_options") or {}
        self._obfuscation = config.obfuscation and options.get("include_obfuscation") is not False
        self._created_at = int(time.time())
        self._sequence = 0
        self._settings = echo(given)
        if not config.names_parents:
            self._settings["previous_response_id"] = None
        self._output_tokens = 0
        self._reasoning_tokens = 0
        self._begun: Callable[[], Item] | None = None
        self._budget = given.settings.get("max_output_tokens")

    def event(self, kind: str, **fields: Any) -> Event:
        """Makes an event with the next sequence number."""
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return event

    def queueing(self) -> list[Event]:
        """The events of a response that waits in the background: created and queued."""
        response = self.response("queued")
        return [
            self.event("response.created", response=response),
            self.event("response.queued", response=response),
        ]

    def opening(self, *, queued: bool = False) -> list[Event]:
        """The events before anything is said: created, unless it was queued, and in progress."""
        response = self.response("in_progress")
        kinds = ("created", "in_progress")[queued:]
        return [self.event(f"response.{kind}", response=response) for kind in kinds]

    def withdraw(self) -> None:
        """The item that was begun last is not to be: nobody has been told of it."""
        self._begun = None
        self._sequence -= 1

    def body(self, answer: Answer) -> Iterator[Step]:
        """The events of an answer's items; ends early when the token budget is used up."""
        for part in self._with_reasoning(answer):
            index = len(self.output)
            match part:
                case Reasoning():
                    yield from self._reasoning(part, index)
                case Call():
                    yield from self._call(part, index)
                case Compaction():
                    yield from self._compaction(part, index)
                case HostedCall():
                    yield from self._hosted(part, index)
                case _:
                    yield from self._message(part, index)
            if self.truncated:
                return

    def closing(
        self,
        status: str = "completed",
        *,
        incomplete_reason: str | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> Event:
        """The terminal event, with all output; an item that was begun is in it as incomplete.

        Args:
            status: ``completed``, ``incomplete`` or ``failed``.
            incomplete_reason: Why it is incomplete.
            error: ``code`` and ``message`` of the failure.

        Returns:
            The event.
        """
        if self._begun is not None:
            self.output.append({**self._begun(), "status": "incomplete"})
            self._begun = None
        response = self.response(status)
        if incomplete_reason is not None:
            response["incomplete_details"] = {"reason": incomplete_reason}
        if error is not None:
            response["error"] = dict(error)
        return self.event(f"response.{status}", response=response)

    def response(self, status: str) -> dict[str, Any]:
        """The response object as of now."""
        ended = status not in ("queued", "in_progress")
        return {
            "id": self.response_id,
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "completed_at": int(time.time()) if status == "completed" else None,
            "error": None,
            "incomplete_details": None,
            **self._settings,
            "output": list(self.output),
            "usage": self.usage() if ended else None,
        }

    def usage(self) -> dict[str, Any]:
        """What is billed for the response as far as it has got."""
        total = self._input_usage.total
        usage: dict[str, Any] = {
            "input_tokens": total,
            "output_tokens": self._output_tokens,
            "total_tokens": total + self._output_tokens,
        }
        if self._config.usage_details:
            usage["input_tokens_details"] = {
                "cached_tokens": self._input_usage.cached,
                "cache_write_tokens": self._input_usage.written,
            }
            usage["output_tokens_details"] = {"reasoning_tokens": self._reasoning_tokens}
        return usage

    def _with_reasoning(self, answer: Answer) -> list[Part]:
        """The answer's parts, after a reasoning item if the model is to reason."""
        parts = list(answer.items)
        effort = self._given.transcript.effort or self._settings["reasoning"]["effort"]
        silent = effort is None or effort in _SILENT_EFFORTS
        if silent or not parts or any(isinstance(part, Reasoning) for part in parts):
            return parts
        return [Reasoning(("Thinking about what was asked, and how to answer it.",)), *parts]

    def _spend(self, tokens: int = 1) -> bool:
        """Counts output tokens; False when the budget does not allow them."""
        if self._budget is not None and self._output_tokens + tokens > self._budget:
            self.truncated = True
            return False
        self._output_tokens += tokens
        return True

    def _delta(self, kind: str, delta: str, **fields: Any) -> Event:
        event = self.event(kind, delta=delta, **fields)
        if self._obfuscation:
            event["obfuscation"] = _PADDING[: 1 + (-len(delta)) % len(_PADDING)]
        return event

    def _added(self, item: Item, index: int) -> Event:
        self._begun = lambda: item
        return self.event("response.output_item.added", output_index=index, item=item)

    def _done(self, item: Item, index: int) -> Event:
        self._begun = None
        self.output.append(item)
        return self.event("response.output_item.done", output_index=index, item=item)

    def _message(self, part: Text | Refusal, index: int) -> Iterator[Step]:
        refusal = isinstance(part, Refusal)
        name = "refusal" if refusal else "output_text"
        field = "refusal" if refusal else "text"
        quiet: dict[str, Any] = {} if refusal else {"logprobs": []}
        empty: dict[str, Any] = (
            {"type": "refusal", "refusal": ""}
            if refusal
            else {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        )
        item: Item = {
            "id": new_id("msg"),
            "type": "message",
            "status": "in_progress",
            "content": [],
            "role": "assistant",
        }
        if isinstance(part, Text) and part.phase is not None:
            item["phase"] = part.phase
        yield Step(self._added(item, index))
        place = {"item_id": item["id"], "output_index": index, "content_index": 0}
        yield Step(self.event("response.content_part.added", **place, part=empty))
        said: list[str] = []
        noted: dict[str, list[Any]] = {} if refusal else {"annotations": [], "logprobs": []}

        def content() -> dict[str, Any]:
            return {**empty, **noted, field: "".join(said)}

        self._begun = lambda: {**item, "content": [content()]}
        notes = list(part.notes) if isinstance(part, Text) else []
        length = 0
        for number, piece in enumerate(self._pieces(part)):
            if not self._spend():
                break
            said.append(piece)
            length += len(piece)
            extra = {**quiet, **self._logprob(part, number, piece, noted)}
            yield Step(self._delta(f"response.{name}.delta", piece, **place, **extra), "text")
            while notes and notes[0].end <= length:
                note = notes.pop(0).annotation
                where = {**place, "annotation_index": len(noted["annotations"])}
                noted["annotations"].append(note)
                kind = "response.output_text.annotation.added"
                yield Step(self.event(kind, **where, annotation=note))
        whole = content()
        status = "incomplete" if self.truncated else "completed"
        if noted.get("logprobs"):
            quiet = {"logprobs": [logprobs.streamed(entry) for entry in noted["logprobs"]]}
        yield Step(self.event(f"response.{name}.done", **place, **quiet, **{field: whole[field]}))
        yield Step(self.event("response.content_part.done", **place, part=whole))
        yield Step(self._done({**item, "status": status, "content": [whole]}, index))

    def _logprob(
        self, part: Text | Refusal, number: int, piece: str, noted: dict[str, list[Any]]
    ) -> dict[str, Any]:
        """What a delta says of how likely it was, which is noted for the whole text."""
        settings = self._given.settings
        if isinstance(part, Refusal) or not logprobs.wanted(settings):
            return {}
        value = part.logprobs[number] if part.logprobs is not None else None
        entry = logprobs.logprob(piece, settings.get("top_logprobs") or 0, value)
        noted["logprobs"].append(entry)
        return {"logprobs": [logprobs.streamed(entry)]}

    @staticmethod
    def _pieces(part: Text | Refusal) -> Sequence[str]:
        if isinstance(part, Text) and part.tokens is not None:
            return part.tokens
        return split_words(part.text)

    def _call(self, part: Call, index: int) -> Iterator[Step]:
        custom = any(
            tool["type"] == "custom" and tool.get("name") == part.name for tool in self._given.tools
        )
        yield from self._any_call(part, index, custom=custom)

    def _any_call(self, part: Call, index: int, *, custom: bool) -> Iterator[Step]:
        name = "custom_tool_call_input" if custom else "function_call_arguments"
        field = "input" if custom else "arguments"
        item: Item = {
            "id": new_id("ctc" if custom else "fc"),
            "type": "custom_tool_call" if custom else "function_call",
            "status": "in_progress",
            field: "",
            "call_id": part.call_id or f"call_{uuid.uuid4().hex[:24]}",
            "name": part.name,
        }
        yield Step(self._added(item, index), "call_added")
        place = {"item_id": item["id"], "output_index": index}
        said: list[str] = []
        self._begun = lambda: {**item, field: "".join(said)}
        self._spend(count_tokens(part.name))
        for piece in split_fixed(part.raw_arguments):
            if not self._spend(2):
                return
            said.append(piece)
            yield Step(self._delta(f"response.{name}.delta", piece, **place), "call")
        whole = {**item, field: "".join(said), "status": "completed"}
        yield Step(self.event(f"response.{name}.done", **place, **{field: whole[field]}))
        yield Step(self._done(whole, index))

    def _compaction(self, part: Compaction, index: int) -> Iterator[Step]:
        item = compaction_item(part.items)
        yield Step(self._added({**item, "encrypted_content": ""}, index))
        yield Step(
            self.event("response.compaction.compacting", item_id=item["id"], output_index=index)
        )
        yield Step(self._done(item, index))

    def _hosted(self, part: HostedCall, index: int) -> Iterator[Step]:
        kind = str(part.item["type"])
        if kind == "web_search_call" and self._config.searches_as_custom_calls:
            yield from self._search(part, index)
            return
        item_id = new_id(hosted_events.PREFIXES.get(kind, kind.removesuffix("_call")))
        item = hosted_events.whole(part.item, item_id)
        yield Step(self._added(hosted_events.begun(item), index))
        self._spend(count_tokens(kind))
        pause = self._seconds(part)
        for told in hosted_events.progress(item, part.partial_images):
            place = {"output_index": index, **({"item_id": item["id"]} if told.by_item else {})}
            make = self._delta if told.delta else self.event
            event = make(f"response.{told.kind}", **place, **told.fields)
            yield Step(event, pause=pause if told.waits else 0.0)
            pause = 0.0 if told.waits else pause
        yield Step(self._done(item, index), "tool", pause)

    def _search(self, part: HostedCall, index: int) -> Iterator[Step]:
        """A search of the server's as the call of a custom tool that nobody declared."""
        arguments = json.dumps(part.item.get("action") or {})
        call = Call("web_search", arguments, f"{SERVERS_CALL}{uuid.uuid4().hex}")
        for event, *_ in self._any_call(call, index, custom=True):
            done = event["type"] == "response.output_item.done"
            yield Step(event, "tool" if done else None, self._seconds(part) if done else 0.0)

    def _seconds(self, part: HostedCall) -> float:
        return self._config.hosted_seconds if part.seconds is None else part.seconds

    def _reasoning(self, part: Reasoning, index: int) -> Iterator[Step]:
        item: Item = {"id": new_id("rs"), "type": "reasoning", "summary": []}
        if "reasoning.encrypted_content" in (self._given.settings.get("include") or ()):
            thoughts = {"id": item["id"], "thoughts": list(part.summary)}
            item["encrypted_content"] = part.encrypted_content or opaque.pack(thoughts)
        yield Step(self._added(item, index))
        tokens = max(1, sum(map(count_tokens, part.summary)))
        self._reasoning_tokens += tokens
        self._spend(tokens)
        if self._config.reasoning_text:
            yield from self._thoughts(item, index, "\n\n".join(part.summary))
            return
        summary: list[dict[str, str]] = []
        if self._settings["reasoning"]["summary"] is not None:
            for number, text in enumerate(part.summary):
                yield from self._summary(item["id"], index, number, text)
                summary.append({"type": "summary_text", "text": text})
        yield Step(self._done({**item, "summary": summary}, index))

    def _thoughts(self, item: Item, index: int, text: str) -> Iterator[Step]:
        """Reasoning as text in the item's content, and the end of the item."""
        place = {"item_id": item["id"], "output_index": index, "content_index": 0}
        empty, whole = ({"type": "reasoning_text", "text": each} for each in ("", text))
        yield Step(self.event("response.content_part.added", **place, part=empty))
        for piece in split_words(text):
            yield Step(self._delta("response.reasoning_text.delta", piece, **place), "reasoning")
        yield Step(self.event("response.reasoning_text.done", **place, text=text))
        yield Step(self.event("response.content_part.done", **place, part=whole))
        yield Step(self._done({**item, "content": [whole]}, index))

    def _summary(self, item_id: str, index: int, number: int, text: str) -> Iterator[Step]:
        place = {"item_id": item_id, "output_index": index, "summary_index": number}
        kind = "response.reasoning_summary"
        yield Step(
            self.event(f"{kind}_part.added", **place, part={"type": "summary_text", "text": ""})
        )
        for piece in split_words(text):
            yield Step(self._delta(f"{kind}_text.delta", piece, **place), "reasoning")
        yield Step(self.event(f"{kind}_text.done", **place, text=text))
        yield Step(
            self.event(f"{kind}_part.done", **place, part={"type": "summary_text", "text": text})
        )


def compaction_item(items: Sequence[Mapping[str, Any]]) -> Item:
    """The item that stands for others."""
    return {
        "id": new_id("cmp"),
        "type": "compaction",
        "encrypted_content": opaque.pack({"items": list(items)}),
    }


def effective_effort(given: ModelInput) -> str | None:
    """The request's own reasoning effort; None for a model that does not reason."""
    effort: str | None = (given.settings.get("reasoning") or {}).get("effort")
    family = given.family or given.model
    if effort is None and is_reasoning_model(family):
        return default_effort(family)
    return effort


def echo(given: ModelInput) -> dict[str, Any]:
    """The request's settings as a response repeats them, with the defaults filled in."""
    sent = given.settings
    reasoning = sent.get("reasoning") or {}
    text = sent.get("text") or {}
    return {
        "background": sent.get("background") is True,
        "conversation": _conversation(sent.get("conversation")),
        # No longer parameters of requests; the specification has them in every response.
        "frequency_penalty": 0.0,
        "instructions": given.instructions,
        "max_output_tokens": sent.get("max_output_tokens"),
        "max_tool_calls": sent.get("max_tool_calls"),
        "metadata": sent.get("metadata") or {},
        "model": given.model,
        "parallel_tool_calls": given.parallel_tool_calls,
        "previous_response_id": sent.get("previous_response_id"),
        "presence_penalty": 0.0,
        "prompt": sent.get("prompt"),
        "prompt_cache_key": sent.get("prompt_cache_key"),
        "prompt_cache_retention": sent.get("prompt_cache_retention"),
        "reasoning": {
            "effort": effective_effort(given),
            "summary": reasoning.get("summary"),
            **{name: reasoning[name] for name in ("context", "mode") if reasoning.get(name)},
        },
        "safety_identifier": sent.get("safety_identifier"),
        "service_tier": _tier(sent.get("service_tier")),
        "store": sent.get("store") is not False,
        "temperature": _or(sent.get("temperature"), 1.0),
        "text": {
            "format": _form(text.get("format") or {"type": "text"}),
            "verbosity": text.get("verbosity") or "medium",
        },
        "tool_choice": given.tool_choice,
        "tools": [
            {"strict": True, "description": None, "parameters": None, **tool}
            if tool["type"] == "function"
            else tool
            for tool in given.tools
        ],
        **_cache_options(given),
        "top_logprobs": sent.get("top_logprobs") or 0,
        "top_p": _or(sent.get("top_p"), 1.0),
        "truncation": sent.get("truncation") or "disabled",
        "user": sent.get("user"),
    }


def _conversation(named: str | dict[str, Any] | None) -> dict[str, Any] | None:
    return {"id": named} if isinstance(named, str) else named


def _form(sent: dict[str, Any]) -> dict[str, Any]:
    """The form of the text, with what was not said of it."""
    if sent["type"] != "json_schema":
        return sent
    strict = sent.get("strict") is True
    return {**sent, "description": sent.get("description"), "strict": strict}


def _cache_options(given: ModelInput) -> dict[str, Any]:
    """How the prompt is cached, which models that cache at breakpoints say."""
    if not caches_at_breakpoints(given.family or given.model):
        return {}
    sent = given.settings.get("prompt_cache_options") or {}
    told = {name: sent[name] for name in ("mode", "ttl", "comparison_response_id") if name in sent}
    return {"prompt_cache_options": {"mode": "implicit", "ttl": "30m", **told}}


def _tier(requested: str | None) -> str:
    return "default" if requested is None or requested == "auto" else requested


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
