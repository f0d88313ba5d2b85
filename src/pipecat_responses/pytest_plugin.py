"""A plugin for pytest: the fixtures ``responses_sandbox`` and ``responses_bot``.

It comes with the package, and loads nothing before a test asks for one of them. The tests have to
be coroutines, run by pytest-asyncio or by AnyIO's plugin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

try:
    from pytest_asyncio import fixture as _fixture
except ImportError:
    # AnyIO's plugin takes fixtures of pytest's own.
    _fixture = pytest.fixture  # type: ignore[assignment]

if TYPE_CHECKING:
    from pipecat_responses.sandbox import Sandbox
    from pipecat_responses.testing import Conversation

KEY = "sk-sandbox"


@_fixture
async def responses_sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    """A Responses API server of the test's own, which clients find by their environment.

    ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY`` are set for the time of the test.
    """
    from pipecat_responses.sandbox import Sandbox

    async with Sandbox() as sandbox:
        monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield sandbox


@_fixture
async def responses_bot(
    responses_sandbox: Sandbox,
) -> AsyncIterator[Callable[..., Awaitable[Conversation]]]:
    """Starts conversations with a bot, which end with the test.

    Call it with a service, or without one for an ``OpenAIResponsesLLMService``, and with the
    arguments of ``pipecat_responses.testing.Conversation``.
    """
    from pipecat_responses.llm import OpenAIResponsesLLMService
    from pipecat_responses.testing import Conversation

    async with AsyncExitStack() as stack:

        async def start(llm: Any = None, *args: Any, **options: Any) -> Conversation:
            talk = Conversation(llm or OpenAIResponsesLLMService(), *args, **options)
            return await stack.enter_async_context(talk)

        yield start
