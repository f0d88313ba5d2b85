"""Conversations that a server has compacted: made into one item that only it can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipecat.frames.frames import LLMContextSummaryRequestFrame
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage
from pipecat.utils.context.llm_context_summarization import LLMContextSummarizationUtil

from pipecat_responses.context.messages import WINDOW
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import Usage
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.items import COMPACTION, plain_text
from pipecat_responses.protocol.names import ErrorName, named


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """How much a compaction has made of a conversation.

    Attributes:
        tokens_before: Tokens of the conversation before it, or None if the server has not said.
        tokens_after: Tokens of what takes its place, or None if the server has not said.
    """

    tokens_before: int | None
    tokens_after: int | None


class CompactionWatch:
    """Learns from the tokens of turns what the server's own compactions have made of them."""

    def __init__(self) -> None:
        """Begins with a conversation of which nothing is known."""
        self._tokens: int | None = None
        self._before: int | None = None
        self._compacted = False

    def turn(self, usage: Usage | None, *, compacted: bool) -> CompactionReport | None:
        """Takes in a turn.

        Args:
            usage: Its tokens, if the server said.
            compacted: Whether the server has compacted the conversation in it.

        Returns:
            The report of a compaction whose effect this turn shows.
        """
        report: CompactionReport | None = None
        if self._compacted:
            after = usage.input if usage is not None else None
            report = CompactionReport(self._before, after)
        self._compacted, self._before = compacted, self._tokens
        self._tokens = usage.total if usage is not None else None
        return report


def put_in_place(
    context: LLMContext,
    before: Sequence[Any],
    count: int,
    answer: Mapping[str, Any],
    llm: str,
) -> CompactionReport:
    """Puts what a server has made of a conversation in the place of its messages.

    What has been said since then stays behind it.

    Args:
        context: The conversation.
        before: Its messages as they were when it was asked for.
        count: How many of these it stands for.
        answer: What the server answered.
        llm: The name under which contexts hold messages for this API only.

    Raises:
        ResponsesError: If the answer holds no compaction.
        RuntimeError: If the messages it stands for have been changed meanwhile.
    """
    output = answer.get("output")
    items = [each for each in output if isinstance(each, dict)] if isinstance(output, list) else []
    if not any(item.get("type") == COMPACTION for item in items):
        raise ResponsesError(
            "The server answered the request to compact a conversation without a compaction",
            failure=Failure.PROTOCOL,
            transport="http",
        )
    messages: list[Any] = context.get_messages()
    same = zip(messages, before[:count], strict=False)
    if len(messages) < count or any(one is not other for one, other in same):
        raise named(
            RuntimeError("The conversation was changed meanwhile, and stays as it is"),
            ErrorName.COMPACTION,
        )
    made = [_message(item, llm, place) for place, item in enumerate(items)]
    context.set_messages([*made, *messages[count:]])
    usage = answer.get("usage")
    tokens = usage if isinstance(usage, Mapping) else {}
    return CompactionReport(_count(tokens.get("input_tokens")), _count(tokens.get("output_tokens")))


def to_summarize(frame: LLMContextSummaryRequestFrame, llm: str) -> tuple[LLMContext, int] | None:
    """What to ask for a summary of a conversation that holds a compaction.

    Args:
        frame: Pipecat's request for a summary.
        llm: The name under which contexts hold messages for this API only.

    Returns:
        The context to ask with and the index of the last message that the summary stands for; None
        where everything to summarise can be read by anybody.
    """
    messages: list[Any] = frame.context.get_messages()
    chosen = LLMContextSummarizationUtil.get_messages_to_summarize(
        frame.context, frame.min_messages_to_keep
    )
    last = chosen.last_summarized_index
    summarized = messages[: last + 1]
    if not chosen.messages or not any(_is_compaction(each, llm) for each in summarized):
        return None
    summarized.append({"role": "user", "content": "Summarize the conversation so far."})
    return LLMContext(summarized), last


def _is_compaction(message: Any, llm: str) -> bool:
    return (
        isinstance(message, LLMSpecificMessage)
        and message.llm == llm
        and isinstance(message.message, Mapping)
        and message.message.get("type") == COMPACTION
    )


def _message(item: dict[str, Any], llm: str, place: int) -> Any:
    """An item as a message: what the user said as Pipecat writes it, anything else as it is."""
    if item.get("type") == COMPACTION:
        return LLMSpecificMessage(llm, {**item, WINDOW: place})
    text = plain_text(item.get("content"))
    if item.get("type") == "message" and item.get("role") == "user" and text:
        return {"role": "user", "content": text}
    return LLMSpecificMessage(llm, item)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
