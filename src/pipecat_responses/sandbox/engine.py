"""One request from its arrival to its terminal event, the same for both transports."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec

from pipecat_responses.sandbox.answers import Answer, Compaction, ModelInput, as_answer
from pipecat_responses.sandbox.bounds import Bounds
from pipecat_responses.sandbox.caching import use_cache
from pipecat_responses.sandbox.composer import Composer, Event, effective_effort
from pipecat_responses.sandbox.config import SandboxConfig
from pipecat_responses.sandbox.conversations import Conversation, Conversations
from pipecat_responses.sandbox.errors import ApiError, content_filtered
from pipecat_responses.sandbox.faults import Fault, Faults, Moment, Transport
from pipecat_responses.sandbox.features import check_features, taken
from pipecat_responses.sandbox.files import Files
from pipecat_responses.sandbox.items import as_items, check_order, resolve_stored
from pipecat_responses.sandbox.memory import LaneMemory, PrefixCache, Prompt, Remembered, Store
from pipecat_responses.sandbox.pacing import Pacer
from pipecat_responses.sandbox.records import RecordedRequest
from pipecat_responses.sandbox.requests import check_http_request, check_websocket_request
from pipecat_responses.sandbox.rules import answer_by_rules
from pipecat_responses.sandbox.shapes import without_nulls
from pipecat_responses.sandbox.strictness import check_json_is_asked_for
from pipecat_responses.sandbox.stubs import Stubs
from pipecat_responses.sandbox.text import count_tokens
from pipecat_responses.sandbox.transcript import Item, Transcript


class Sink(Protocol):
    """Where the events of a response go: one lane of a WebSocket, or one HTTP answer."""

    @property
    def transport(self) -> Transport:
        """Which of the two it is."""

    async def send(self, event: Event) -> None:
        """Sends an event."""

    async def send_raw(self, data: bytes, *, binary: bool) -> None:
        """Sends bytes as they are."""

    async def comment(self, text: str) -> None:
        """Sends a comment, where there are such things."""

    async def close(self, code: int, reason: str) -> None:
        """Closes the connection properly."""

    async def reset(self) -> None:
        """Resets the TCP connection."""

    def stall(self) -> None:
        """Sends and reads nothing more on the connection, and leaves it open."""


@dataclass(frozen=True)
class Place:
    """Where a request runs.

    Attributes:
        sink: Where its events go.
        cache: The prompt cache to count with.
        lane: The lane; None is the default lane, and HTTP.
        memory: The connection's memory; None over HTTP.
        background: Whether the response goes on when nobody listens.
    """

    sink: Sink
    cache: PrefixCache
    lane: str | None = None
    memory: LaneMemory | None = None
    background: bool = False


class Halt(Exception):  # noqa: N818 - an outcome, not an error
    """A fault has ended a response without a terminal event.

    Attributes:
        kind: The fault's kind.
        parked: Whether the response stays as it is for ever, and its lane with it.
        error: What an answer without a stream is then, if the fault is an error.
    """

    def __init__(self, fault: Fault, *, parked: bool, error: ApiError | None = None) -> None:
        """Remembers what happened."""
        super().__init__(fault.kind)
        self.kind = fault.kind
        self.parked = parked
        self.error = error


class HtmlAnswer(Exception):  # noqa: N818 - an answer, not an error
    """A proxy answers in the server's place.

    Attributes:
        kind: The fault's kind.
        status: The HTTP status.
        html: The page.
    """

    def __init__(self, fault: Fault) -> None:
        """Takes status and page from the fault."""
        self.kind = fault.kind
        self.status = int(fault.params.get("status", 502))
        page = f"<html><body><h1>{self.status}</h1><hr>nginx</body></html>\r\n"
        self.html = str(fault.params.get("html", page))
        super().__init__(f"{self.status} as HTML")


@dataclass(frozen=True)
class Steer:
    """Accepted steering input: its id, and the items to continue with."""

    steer_id: str
    items: list[Item]


@dataclass
class Run:
    """A response that has been accepted.

    Attributes:
        record: The request.
        place: Where it runs.
        given: The request as the model sees it.
        composer: Makes its events.
        answer: What will be said.
        pacer: When it will be said.
        previous: What the lane remembered before.
        prompt: The request as the prompt cache knows it.
        conversation: The conversation that it belongs to, which is locked as long as it runs.
        stop_reason: Set when it is to end early as incomplete, for this reason.
        steers: Steering input that arrived while it was running.
        item_open: Whether an item has been announced and not finished.
        missing_fields: Fields that its events lack because of a fault.
        faults: What goes wrong with its answer.
    """

    record: RecordedRequest
    place: Place
    given: ModelInput
    composer: Composer
    answer: Answer
    pacer: Pacer
    previous: Remembered | None
    prompt: Prompt
    conversation: Conversation | None = None
    stop_reason: str | None = None
    steers: list[Steer] = field(default_factory=list)
    item_open: bool = False
    missing_fields: frozenset[str] = frozenset()
    faults: Faults = field(default_factory=Faults)

    @property
    def response_id(self) -> str:
        """The response's id."""
        return self.composer.response_id

    @property
    def calls(self) -> bool:
        """Whether the client has to act before the conversation can go on."""
        return any(item["type"] in _CLIENTS for item in self.composer.output)

    def stop(self, reason: str) -> None:
        """Ends the response now, as incomplete."""
        self.stop_reason = reason
        self.pacer.interrupt()

    def steer(self, steer: Steer) -> None:
        """Takes input to go on with: the response ends where nothing is cut in two."""
        self.steers.append(steer)
        if not self.item_open:
            self.pacer.interrupt()

    async def send(self, event: Event) -> None:
        """Sends one of the response's events."""
        if self.missing_fields:
            event = _strip(event, self.missing_fields)
        await self.place.sink.send(event)


class Engine:
    """Accepts requests and runs their responses."""

    def __init__(self, config: SandboxConfig, faults: Faults, store: Store, bounds: Bounds) -> None:
        """Shares the sandbox's configuration, faults, stored responses and bounds."""
        self.config = config
        self.faults = faults
        self.store = store
        self.conversations = Conversations()
        self.files = Files()
        self.bounds = bounds
        bounds.stored.hold(store)
        bounds.stored.hold(self.files)
        self.script: deque[Answer] = deque()
        self.stubs = Stubs()

    def reset(self) -> None:
        """Forgets what it was told to answer, what shall go wrong, and what is stored."""
        self.script.clear()
        self.stubs.clear()
        self.faults.clear()
        self.store.clear()
        self.conversations.clear()
        self.files.clear()

    async def run(
        self,
        record: RecordedRequest,
        place: Place,
        *,
        steers: Sequence[Steer] = (),
        on_accepted: Callable[[Run], None] | None = None,
    ) -> Run:
        """Answers a request.

        Args:
            record: The request; what becomes of it is written to it.
            place: Where it runs.
            steers: Steering input that waited for this request.
            on_accepted: Called with the run as soon as it is accepted.

        Returns:
            The run, after its terminal event.

        Raises:
            ApiError: When the request is refused; nothing has been sent then.
            Halt: When a fault has ended it.
            HtmlAnswer: When a proxy answers instead.
        """
        try:
            late = await self._request_faults(place)
            run = self._accept(record, place, steers)
        except ApiError as error:
            record.outcome = f"refused:{error.label}"
            if place.memory is not None:
                place.memory.evict(place.lane, record.previous_response_id)
            raise
        except (Halt, HtmlAnswer) as ended:
            record.outcome = f"fault:{ended.kind}"
            raise
        if on_accepted is not None:
            on_accepted(run)
        try:
            await self._begin(run, late)
            await self._speak(run)
            await self._end(run)
        except Halt as halt:
            record.outcome = record.outcome or f"fault:{halt.kind}"
            raise
        finally:
            record.usage = run.composer.usage()
            _unlock(run)
        return run

    # From arrival to acceptance

    async def _request_faults(self, place: Place) -> list[Fault]:
        """Lets happen what happens on arrival; returns the faults that need an accepted run."""
        late: list[Fault] = []
        for fault in self.faults.take("request", place.sink.transport, stream_id=place.lane):
            match fault.kind:
                case "error":
                    raise fault.error()
                case "http_html":
                    raise HtmlAnswer(fault)
                case "empty" | "delta_before_created" | "missing_fields":
                    late.append(fault)
                case "delay":
                    pacer = Pacer(float(fault.params.get("seconds", 1)), None)
                    await pacer.first()
                case _:
                    await self.disturb(fault, place)
        return late

    def _accept(self, record: RecordedRequest, place: Place, steers: Sequence[Steer]) -> Run:
        config = self.config
        check = check_http_request if place.memory is None else check_websocket_request
        body = self._checked(record.body, check)
        conversation = self.conversations.of_request(body)
        if conversation is not None:
            conversation.check_free()
        transcript = self._transcript(body, place, [i for steer in steers for i in steer.items])
        given = ModelInput(
            model=body["model"],
            instructions=body.get("instructions"),
            tools=body.get("tools") or [],
            tool_choice=body.get("tool_choice") or "auto",
            parallel_tool_calls=body.get("parallel_tool_calls") is not False,
            settings=body,
            transcript=transcript,
            transport=place.sink.transport,
            stream_id=place.lane,
            family=config.deployments.get(body["model"]),
            seed=config.seed,
            persona=config.persona,
        )
        check_json_is_asked_for(given)
        said = (given.last_user_text or "").lower()
        if any(word.lower() in said for word in config.filtered_words):
            raise content_filtered()
        prompt = _prompt(given)
        composer = Composer(given, use_cache(place.cache, prompt, body, config), config)
        prewarms = (body.get("prompt_cache_options") or {}).get("prewarm") is True
        generate = body.get("generate") is not False and not prewarms
        answer = self._answer(given, record) if generate else Answer()
        _refuse(answer, place.sink.transport)
        if generate and prompt.tokens > _compact_threshold(body):
            answer = replace(answer, parts=(Compaction(transcript.items()), *answer.parts))
        record.response_id = composer.response_id
        record.transcript = transcript
        previous = None
        if place.memory is not None:
            previous = place.memory.latest(place.lane)
            if config.lane_advances_at == "start":
                place.memory.remember(place.lane, None)
        pacer = Pacer(
            _first(answer.time_to_first_token, config.time_to_first_token),
            _first(answer.tokens_per_second, config.tokens_per_second),
            beat=self._sign_of_life(composer, place.sink),
            beat_secs=config.keepalive_secs,
        )
        if conversation is not None:
            conversation.locked = True
        run = Run(record, place, given, composer, answer, pacer, previous, prompt, conversation)
        run.faults.add(*map(replace, answer.faults))
        return run

    def _checked(
        self, body: dict[str, Any], check: Callable[[dict[str, Any], SandboxConfig], None]
    ) -> dict[str, Any]:
        """A request as the server takes it.

        Raises:
            ApiError: When it does not.
        """
        check_features(body, self.config)
        body = taken(body, self.config)
        check(without_nulls(body) if self.config.nulls == "taken" else body, self.config)
        return body

    def _sign_of_life(self, composer: Composer, sink: Sink) -> Callable[[], Awaitable[None]] | None:
        """What a response sends while it has nothing to say."""
        match self.config.keepalive:
            case "none":
                return None
            case "comments":
                return lambda: sink.comment("OPENROUTER PROCESSING")
            case "events":
                return lambda: sink.send(composer.event("keepalive"))

    def _transcript(
        self, body: dict[str, Any], place: Place | None, first: list[Item]
    ) -> Transcript:
        """What the model sees: the parent's items, steering input, and the request's own items.

        Raises:
            ApiError: When the parent is not to be found, or the items do not fit together.
        """
        memory = (place.memory if place is not None else None) or LaneMemory()
        conversation = self.conversations.of_request(body)
        history = (
            conversation.transcript
            if conversation is not None
            else memory.resolve(
                body.get("previous_response_id"),
                place.lane if place is not None else None,
                self.store,
                forks=self.config.forks == "supported",
            )
        )
        items = self.resolved(
            first + as_items(body.get("input") or []), stored=body.get("store") is not False
        )
        check_order(history, items)
        return history.extend(items)

    def resolved(self, items: list[Item], *, stored: bool) -> list[Item]:
        """Items with what they refer to on the server's side in their place.

        Args:
            items: Valid input items.
            stored: Whether they are to be stored.

        Raises:
            ApiError: For an item or a file that is not there, or encrypted content of others.
        """
        resolved = resolve_stored(
            items,
            stored=stored,
            plain_reasoning=self.config.encrypted_reasoning != "supported",
            verify=self.config.verify_encrypted_content,
            find_item=self.store.items.get,
        )
        self.files.check_named(resolved)
        return resolved

    def history_of(
        self, body: dict[str, Any], check: Callable[[dict[str, Any], SandboxConfig], None]
    ) -> Transcript:
        """The items that a request stands for, without answering it.

        Args:
            body: The request.
            check: Checks its fields.

        Raises:
            ApiError: When the request is not valid.
        """
        return self._transcript(self._checked(body, check), None, [])

    def input_tokens(
        self, body: dict[str, Any], check: Callable[[dict[str, Any], SandboxConfig], None]
    ) -> int:
        """The tokens that the input of a request would count, without answering it.

        Args:
            body: The request.
            check: Checks its fields.

        Raises:
            ApiError: When the request is not valid.
        """
        tools = body.get("tools")
        return (
            self.history_of(body, check).tokens
            + (count_tokens(msgspec.json.encode(tools).decode()) if tools else 0)
            + count_tokens(body.get("instructions") or "")
        )

    def _answer(self, given: ModelInput, record: RecordedRequest) -> Answer:
        stubbed = self.stubs.answer(given, record)
        if stubbed is not None:
            return stubbed
        if self.script:
            return self.script.popleft()
        if self.config.responder is not None:
            return as_answer(self.config.responder(given))
        return answer_by_rules(given)

    # From acceptance to the terminal event

    async def _begin(self, run: Run, late: list[Fault]) -> None:
        for fault in late:
            match fault.kind:
                case "empty":
                    run.answer = Answer()
                case "missing_fields":
                    run.missing_fields = _field_names(fault)
                case _:
                    await run.send(_stray_delta(run.composer))
        background = run.place.background
        if background:
            for event in run.composer.queueing():
                await run.send(event)
        if self.config.time_to_created:
            await run.pacer.pause(self.config.time_to_created)
        for event in run.composer.opening(queued=background):
            await run.send(event)
        await self._moment("created", run)

    async def _speak(self, run: Run) -> None:
        """Sends the answer's events as they become due, until the end or until it is stopped."""
        if not run.answer.items:
            return
        await run.pacer.first()
        texts = calls = 0
        if run.stop_reason is None:
            await self._moment("text", run)
        for step in run.composer.body(run.answer):
            kind = step.event["type"]
            if kind == "response.output_item.added" and run.steers and not run.calls:
                run.composer.withdraw()
                run.stop("steered")
                return
            if step.pause:
                await run.pacer.pause(step.pause)
            if step.kind in ("text", "call", "reasoning"):
                await run.pacer.token()
            if run.stop_reason is not None:
                return
            await run.send(step.event)
            if kind in _ITEM_OPEN:
                run.item_open = _ITEM_OPEN[kind]
            if step.kind == "text":
                texts += 1
                await self._moment("text", run, texts)
            elif step.kind in ("call", "call_added"):
                calls = 0 if step.kind == "call_added" else calls + 1
                await self._moment("call", run, calls)
            elif step.kind == "tool":
                await self._moment("tool", run)

    async def _end(self, run: Run) -> None:
        """Sends the terminal event; what is remembered is settled before the client can know."""
        faults = self._faults("terminal", run)
        for fault in faults:
            await self._happen(fault, run)
        kinds = {fault.kind for fault in faults}
        terminal = self._terminal(run)
        self._settle(run, terminal, forget="forget" in kinds)
        if "no_terminal" in kinds:
            return
        if "null_output" in kinds:
            terminal = {**terminal, "response": {**terminal["response"], "output": None}}
        for _ in range(2 if "double_terminal" in kinds else 1):
            await run.send(dict(terminal))

    def _terminal(self, run: Run) -> Event:
        answer, composer = run.answer, run.composer
        if run.stop_reason is not None:
            return composer.closing("incomplete", incomplete_reason=run.stop_reason)
        if composer.truncated:
            return composer.closing("incomplete", incomplete_reason="max_output_tokens")
        if answer.failed is not None:
            return composer.closing("failed", error=_failure(answer.failed))
        if answer.incomplete_reason is not None:
            return composer.closing("incomplete", incomplete_reason=answer.incomplete_reason)
        return composer.closing()

    async def _moment(self, moment: Moment, run: Run, deltas: int = 0) -> None:
        for fault in self._faults(moment, run, deltas):
            await self._happen(fault, run)

    def _faults(self, moment: Moment, run: Run, deltas: int = 0) -> list[Fault]:
        """What goes wrong now, by the sandbox's faults and by the answer's own."""
        place = run.place
        return [
            fault
            for faults in (self.faults, run.faults)
            for fault in faults.take(
                moment, place.sink.transport, stream_id=place.lane, deltas=deltas
            )
        ]

    async def _happen(self, fault: Fault, run: Run) -> None:
        """Lets a fault happen to a running response.

        Raises:
            Halt: When that ends it.
        """
        match fault.kind:
            case "delay":
                await run.pacer.pause(float(fault.params.get("seconds", 1)))
            case "missing_fields":
                run.missing_fields |= _field_names(fault)
            case "failed" | "incomplete":
                terminal = run.composer.closing(
                    fault.kind,
                    incomplete_reason=fault.params.get("reason", "content_filter")
                    if fault.kind == "incomplete"
                    else None,
                    error=_failure(fault.params) if fault.kind == "failed" else None,
                )
                self._settle(run, terminal)
                await run.send(terminal)
                raise Halt(fault, parked=False)
            case "error":
                error = fault.error()
                over_http = run.place.memory is None
                number = run.composer.event("error")["sequence_number"]
                failed = run.composer.closing("failed", error=error.failure())
                self._settle(run, failed)
                run.record.outcome = f"error:{error.label}"
                shape = self.config.sse_errors if over_http else "nested"
                await run.place.sink.send(error.event(shape, number))
                if over_http and shape == "recorded":
                    await run.send(failed)
                raise Halt(fault, parked=False, error=error)
            case "double_terminal" | "no_terminal" | "null_output":
                pass  # They concern the terminal event, which is sent by whoever asked.
            case _:
                await self.disturb(fault, run.place)

    async def disturb(self, fault: Fault, place: Place) -> None:
        """Lets a fault happen that needs no response.

        Raises:
            Halt: When nothing can come after it.
        """
        sink = place.sink
        match fault.kind:
            case "forget":
                (place.memory or self.store).clear()
            case "garbage":
                binary = bool(fault.params.get("binary", False))
                await sink.send_raw(fault.garbage(), binary=binary)
            case "unknown_events":
                for event in fault.unknown_events():
                    await sink.send(event)
            case "wrong_stream_id":
                await sink.send(fault.stray_event())
            case "close" | "close_after_accept":
                code, reason = fault.params.get("code", 1000), fault.params.get("reason", "")
                await sink.close(int(code), str(reason))
                if not place.background:
                    raise Halt(fault, parked=True)
            case "reset":
                await sink.reset()
                if not place.background:
                    raise Halt(fault, parked=True)
            case "stall":
                sink.stall()
                raise Halt(fault, parked=True)
            case _:
                raise Halt(fault, parked=True)

    def _settle(self, run: Run, terminal: Event, *, forget: bool = False) -> None:
        """Writes down how a response ended, and what is remembered of it."""
        response = terminal["response"]
        status = response["status"]
        run.record.outcome = "cancelled" if run.stop_reason == "cancelled" else status
        run.record.output = list(run.composer.output)
        new = Remembered(run.response_id, _continued(run.given.transcript, run.composer.output))
        run.place.cache.note(
            run.prompt.extended(new.transcript), step=self.config.cache_step_tokens
        )
        given = run.given.transcript
        if status != "failed" and response["store"]:
            maximum = self.config.max_stored
            self.store.keep(new, response, given, size=run.record.size, maximum=maximum)
            self.bounds.stored.settle()
        if run.conversation is not None and status != "failed":
            run.conversation.add([*given.added, *run.composer.output])
        _unlock(run)
        memory, lane = run.place.memory, run.place.lane
        if memory is None or not self.config.lane_memory:
            return
        if forget:
            memory.clear()
        elif status == "completed" or run.stop_reason == "steered":
            memory.remember(lane, new)
        else:
            keeps = self.config.memory_after_failure
            if run.stop_reason == "cancelled":
                keeps = self.config.memory_after_cancel or keeps
            kept = {"forgets": None, "keeps_previous": run.previous, "remembers_new": new}[keeps]
            memory.remember(lane, kept)


_CLIENTS = ("function_call", "custom_tool_call")

_ITEM_OPEN = {"response.output_item.added": True, "response.output_item.done": False}


def _unlock(run: Run) -> None:
    """Lets go of the conversation, once: the next response may have locked it since."""
    if run.conversation is not None:
        run.conversation.locked = False
        run.conversation = None


def _first(value: float | None, default: Any) -> Any:
    return default if value is None else value


def _refuse(answer: Answer, transport: Transport) -> None:
    """Lets an answer that is a refusal be one.

    Raises:
        ApiError: When it is an error.
        HtmlAnswer: When it is a page.
    """
    for fault in answer.faults:
        if fault.moment == "request" and fault.transport in (None, transport):
            raise fault.error() if fault.kind == "error" else HtmlAnswer(fault)


def _failure(error: Any) -> dict[str, Any]:
    return {
        "code": error.get("code", "server_error"),
        "message": error.get("message", "The model failed to answer."),
    }


def _field_names(fault: Fault) -> frozenset[str]:
    return frozenset(fault.params.get("fields", ("usage",)))


def _strip(value: Any, names: frozenset[str]) -> Any:
    """A copy of an event without the named fields, at any depth."""
    if isinstance(value, dict):
        return {key: _strip(element, names) for key, element in value.items() if key not in names}
    if isinstance(value, list):
        return [_strip(element, names) for element in value]
    return value


def _stray_delta(composer: Composer) -> Event:
    return composer.event(
        "response.output_text.delta",
        item_id="msg_early",
        output_index=0,
        content_index=0,
        delta="too early",
        logprobs=[],
    )


def _continued(transcript: Transcript, output: list[Item]) -> Transcript:
    """What a response leaves to continue from; a compaction stands for all that was before it."""
    for index in reversed(range(len(output))):
        if output[index]["type"] == "compaction":
            return Transcript().extend(output[index:])
    return transcript.extend(output)


def _compact_threshold(body: dict[str, Any]) -> float:
    """Tokens beyond which a request wants the server to compact; infinite without that wish."""
    for entry in body.get("context_management") or ():
        if entry.get("type") == "compaction":
            return float(entry.get("compact_threshold") or math.inf)
    return math.inf


def _prompt(given: ModelInput) -> Prompt:
    """A request as the prompt cache sees it. A choice among its tools is no part of that."""
    tools = msgspec.json.encode(given.tools).decode() if given.tools else ""
    form = msgspec.json.encode((given.settings.get("text") or {}).get("format"))
    root = hash((given.model, effective_effort(given), tools, form))
    return Prompt(root, count_tokens(tools), given.instructions or "", given.transcript)
