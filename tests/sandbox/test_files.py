"""Files, and input that names them."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from pipecat_responses.sandbox import Sandbox

from .sdk import MODEL, error_of, sdk, valid
from .wire import user


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[AsyncOpenAI]:
    async with sdk(sandbox) as client:
        yield client


async def test_uploaded_listed_downloaded_and_deleted(client: AsyncOpenAI) -> None:
    lines = await client.files.create(file=("lines.jsonl", b'{"a": 1}\n'), purpose="batch")
    assert (valid(lines).filename, lines.bytes, lines.purpose) == ("lines.jsonl", 9, "batch")
    data = await client.files.create(
        file=("x.pdf", b"%PDF-"),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert data.expires_at == data.created_at + 3600
    assert await client.files.retrieve(data.id) == data
    assert [file.id async for file in client.files.list()] == [data.id, lines.id]
    assert [file.id async for file in client.files.list(limit=1, order="asc")] == [
        lines.id,
        data.id,
    ]
    assert [file.id async for file in client.files.list(purpose="batch")] == [lines.id]
    assert (await client.files.content(lines.id)).content == b'{"a": 1}\n'
    with pytest.raises(openai.BadRequestError) as kept:
        await client.files.content(data.id)
    assert error_of(kept)[3] == "Not allowed to download files of purpose: user_data"
    assert valid(await client.files.delete(data.id)).deleted
    for call in (client.files.retrieve, client.files.delete, client.files.content):
        with pytest.raises(openai.NotFoundError) as missing:
            await call(data.id)
        assert error_of(missing) == (404, None, "id", f"No such File object: {data.id}")


async def test_what_is_refused(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    refusals: list[tuple[Any, str]] = [
        ({"purpose": "fun"}, "purpose"),
        ({"expires_after": {"seconds": 3600}}, "expires_after.anchor"),
        ({"expires_after": {"anchor": "created_at"}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "created_at", "seconds": "x"}}, "expires_after.seconds"),
    ]
    for fields, param in refusals:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.files.create(**{"file": ("x", b"x"), "purpose": "vision", **fields})
        assert refused.value.param == param
    forms: list[tuple[Any, str | None]] = [
        ({"json": {}}, None),
        ({"data": b"x", "headers": {"content-type": "multipart/form-data"}}, None),
        ({"data": form(purpose="batch")}, "file"),
        ({"data": form(purpose="batch", file="x")}, "file"),
        ({"data": form(file=b"x")}, "purpose"),
    ]
    async with aiohttp.ClientSession(headers={"authorization": "Bearer x"}) as session:
        for request, place in forms:
            async with session.post(f"{sandbox.base_url}/files", **request) as answer:
                assert answer.status == 400, await answer.text()
                assert (await answer.json())["error"]["param"] == place


def form(**fields: str | bytes) -> aiohttp.FormData:
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        data.add_field(name, value, filename="x" if isinstance(value, bytes) else None)
    return data


async def test_input_names_files_that_are_there(client: AsyncOpenAI) -> None:
    file = await client.files.create(file=("x.pdf", b"%PDF-"), purpose="user_data")
    picture = await client.files.create(file=("x.png", b"\x89PNG"), purpose="vision")
    parts = [
        {"type": "input_file", "file_id": file.id},
        {"type": "input_image", "file_id": picture.id},
        {"type": "input_text", "text": "What is that?"},
    ]
    sent: Any = [user("hi"), user(parts)]
    made = await client.responses.create(model=MODEL, input=sent)
    assert made.status == "completed"
    await client.files.delete(picture.id)
    with pytest.raises(openai.NotFoundError) as missing:
        await client.responses.create(model=MODEL, input=sent)
    assert error_of(missing) == (
        404,
        None,
        "input[1].content[1].file_id",
        f"No such File object: {picture.id}",
    )
    with pytest.raises(openai.NotFoundError):
        await client.conversations.create(items=sent)


async def test_the_oldest_make_room(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    sandbox.config.max_stored = 2
    sandbox.config.max_stored_bytes = 10
    for size in (4, 4, 1, 9):
        await client.files.create(file=("x", b"x" * size), purpose="vision")
    assert [file.bytes async for file in client.files.list(order="asc")] == [1, 9]
