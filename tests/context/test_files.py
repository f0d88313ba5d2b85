"""Files that OpenAI cannot fetch are fetched here, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.utils.file_resolver import FileResolver

from pipecat_responses.context.adapter import ContextMessageError, OpenAIResponsesLLMAdapter
from tests.context.support import user, wires


class Resolver(FileResolver):
    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    async def fetch(self, url: str) -> bytes:
        if "secret" in url:
            raise ValueError(f"no such file: {url!r}")
        self.fetched.append(url)
        await asyncio.sleep(0)
        return b"AAA"


async def test_files_are_fetched_once(
    adapter: OpenAIResponsesLLMAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter.file_resolver = resolver = Resolver()
    asked: list[Any] = []
    original = adapter.prepare_file_content

    async def prepare(context: LLMContext) -> None:
        asked.extend(context.get_messages())
        await original(context)

    monkeypatch.setattr(adapter, "prepare_file_content", prepare)
    pdf = LLMContext.create_file_url_message(
        format="application/pdf", url="upload://1", filename="a.pdf"
    )
    png = LLMContext.create_file_url_message(format="image/png", url="upload://2")
    context = LLMContext([user("Hi"), pdf])
    for _ in range(2):
        await adapter.convert(context)
        context.add_message(user("More"))
    context.add_message(png)
    items = wires(await adapter.convert(context))
    assert asked == [pdf, png]
    assert resolver.fetched == ["upload://1", "upload://2"]
    assert items[1]["content"] == [
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": "data:application/pdf;base64,QUFB",
        }
    ]
    assert items[-1]["content"] == [
        {"type": "input_image", "image_url": "data:image/png;base64,QUFB", "detail": "auto"}
    ]


async def test_a_file_that_cannot_be_fetched(adapter: OpenAIResponsesLLMAdapter) -> None:
    adapter.file_resolver = Resolver()
    message = LLMContext.create_file_url_message(
        format="application/pdf", url="upload://1?signature=secret"
    )
    with pytest.raises(ContextMessageError) as caught:
        await adapter.convert(LLMContext([user("Hi"), message]))
    assert caught.value.index == 1
    assert "upload://1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_urls_that_openai_fetches(adapter: OpenAIResponsesLLMAdapter) -> None:
    assert adapter.supports_file_url("https://x/a.pdf", "application/pdf")
    assert adapter.supports_file_url("http://x/a.png", "image/png")
    assert not adapter.supports_file_url("s3://x/a.png", "image/png")
