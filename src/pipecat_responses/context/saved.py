"""Conversations as JSON, to go on with them in another process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage

from pipecat_responses.context.pending import IN_PROGRESS
from pipecat_responses.protocol.encoding import encode_mended
from pipecat_responses.protocol.names import ErrorName, named

_VERSION = 1


def dump(context: LLMContext) -> str:
    """Writes a conversation down: its messages of every kind, reasoning and hosted tools included.

    Args:
        context: The conversation. Its tools are functions of the application, which gives them to
            the context that ``load`` makes.

    Returns:
        JSON.

    Raises:
        ValueError: If a message holds something JSON cannot.
    """
    messages: list[Any] = context.get_messages()
    saved = {"version": _VERSION, "messages": [_saved(message) for message in messages]}
    try:
        return encode_mended(saved).decode()
    except (TypeError, OverflowError, RecursionError) as error:
        raise named(
            ValueError(f"The conversation cannot be written as JSON: {error}"),
            ErrorName.SAVED_CONVERSATION,
        ) from error


def load(text: str | bytes) -> LLMContext:
    """Reads a conversation that ``dump`` has written.

    A function that was still running then will not give its result here: the model is told that
    the call was not completed.

    Args:
        text: The JSON.

    Raises:
        ValueError: If it is anything else.
    """
    try:
        saved = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise named(
            ValueError(f"This is no conversation that dump() has written: {error}"),
            ErrorName.SAVED_CONVERSATION,
        ) from None
    messages = saved.get("messages") if isinstance(saved, dict) else None
    if not isinstance(messages, list) or saved.get("version") != _VERSION:
        raise named(
            ValueError("This is no conversation that dump() of this version has written"),
            ErrorName.SAVED_CONVERSATION,
        )
    return LLMContext([_loaded(message) for message in messages if not _is_pending(message)])


def _saved(message: Any) -> Any:
    if isinstance(message, LLMSpecificMessage):
        return {"llm": message.llm, "message": message.message}
    return message


def _loaded(message: Any) -> Any:
    if not isinstance(message, Mapping):
        raise named(
            ValueError("A message of the conversation is no JSON object"),
            ErrorName.SAVED_CONVERSATION,
        )
    if "role" not in message and isinstance(message.get("llm"), str):
        return LLMSpecificMessage(message["llm"], message.get("message"))
    return message


def _is_pending(message: Any) -> bool:
    return (
        isinstance(message, Mapping)
        and message.get("role") == "tool"
        and message.get("content") == IN_PROGRESS
    )
