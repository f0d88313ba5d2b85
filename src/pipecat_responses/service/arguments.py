"""Constructor arguments: what is not right is refused at once, with what to do about it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

from pipecat_responses.protocol.names import ErrorName, named
from pipecat_responses.service.secrets import ApiKey
from pipecat_responses.service.settings import OpenAIResponsesLLMSettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI


def check_known(service: type, arguments: Mapping[str, object]) -> None:
    """Refuses arguments that no base class takes.

    Pipecat's base classes ignore what they do not know, so a misspelling would go unnoticed.

    Raises:
        TypeError: For the first argument that is not known, with the likely right one.
    """
    known = _known_arguments(service)
    for name in arguments:
        if name not in known:
            import difflib

            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            if name in {each.name for each in fields(OpenAIResponsesLLMSettings)}:
                hint = f"; pass settings={service.__name__}.Settings({name}=...)"
            raise named(
                TypeError(f"{service.__name__} has no argument {name!r}{hint}"), ErrorName.ARGUMENT
            )


def check_values(on_loss: str, retry_timeout: float | None, max_message_bytes: int) -> None:
    """Refuses values that make no sense.

    Raises:
        ValueError: For the first of them.
    """
    if on_loss not in ("resume", "stop"):
        raise named(
            ValueError(f'on_mid_response_loss must be "resume" or "stop", not {on_loss!r}'),
            ErrorName.ARGUMENT,
        )
    if retry_timeout is not None and retry_timeout <= 0:
        raise named(
            ValueError(f"retry_timeout_secs must be more than 0, not {retry_timeout!r}"),
            ErrorName.ARGUMENT,
        )
    if max_message_bytes <= 0:
        raise named(
            ValueError(f"max_message_bytes must be more than 0, not {max_message_bytes!r}"),
            ErrorName.ARGUMENT,
        )


def check_client(client: object, **others: object) -> None:
    """Refuses a client that is none, and what a client says already.

    Args:
        client: The SDK's client.
        **others: Arguments that go into a client, by name.

    Raises:
        TypeError: If it is no client of the SDK's, or a synchronous one.
        ValueError: If another argument is given as well.
    """
    from openai import AsyncOpenAI

    if not isinstance(client, AsyncOpenAI):
        raise named(
            TypeError(f"client must be an openai.AsyncOpenAI, not {type(client).__name__}"),
            ErrorName.ARGUMENT,
        )
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise named(
            ValueError(f"client has its own {', '.join(given)}: pass one or the other"),
            ErrorName.ARGUMENT,
        )


def key_of(client: AsyncOpenAI) -> ApiKey:
    """The key of a client, or what gives it one each time it is needed."""
    # The SDK asks it before each request, and keeps it under this name only.
    provider: Callable[[], Awaitable[str]] | None = getattr(client, "_api_key_provider", None)
    return provider or client.api_key


@cache
def _known_arguments(service: type) -> frozenset[str]:
    return frozenset(
        name
        for each in service.__mro__
        if "__init__" in vars(each) and each is not object
        for name, parameter in inspect.signature(vars(each)["__init__"]).parameters.items()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    )
