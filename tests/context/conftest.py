from __future__ import annotations

from collections.abc import Iterator

import pytest
from loguru import logger

from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter


@pytest.fixture
def adapter() -> OpenAIResponsesLLMAdapter:
    return OpenAIResponsesLLMAdapter()


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    heard: list[str] = []
    sink = logger.add(lambda entry: heard.append(entry.record["message"]), level="WARNING")
    yield heard
    logger.remove(sink)
