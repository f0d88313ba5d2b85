"""The official SDK against the sandbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import openai
import pytest
from openai import AsyncOpenAI, BaseModel

from pipecat_responses.sandbox import Sandbox

MODEL = "gpt-4.1"

_Object = TypeVar("_Object", bound=BaseModel)


@asynccontextmanager
async def sdk(sandbox: Sandbox) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=sandbox.base_url, api_key="x", max_retries=0) as client:
        yield client


def valid(value: _Object) -> _Object:
    """The object, which has to be what its type says: the SDK itself does not look."""
    return type(value).model_validate(value.to_dict())


def error_of(refusal: pytest.ExceptionInfo[openai.APIStatusError]) -> tuple[int, Any, Any, str]:
    """Status, code, parameter and message of a refusal."""
    error = refusal.value
    assert isinstance(error.body, dict)
    return error.status_code, error.code, error.param, error.body["message"]
