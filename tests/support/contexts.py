"""Contexts whose messages a type checker takes as they are.

To Pipecat a message is one of six ``TypedDict`` classes or an object, so that it has neither a
``"content"`` to read without asking which it is, nor room for what is wrong with it in a test.
"""

from __future__ import annotations

from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext


def context_of(*messages: Any) -> LLMContext:
    """A context that holds these messages themselves, not copies of them."""
    return LLMContext(list(messages))


def kept_items(context: LLMContext) -> list[Any]:
    """The items that the context keeps for one LLM only."""
    return [each.message for each in messages_of(context) if not isinstance(each, dict)]


def messages_of(context: LLMContext) -> list[Any]:
    """The list that the context itself holds: a change to it is a change to the context."""
    return context.get_messages()
