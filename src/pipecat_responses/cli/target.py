"""Which server to talk to, and how."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from pipecat_responses.cli.failures import UnusableError
from pipecat_responses.llm import (
    OpenAIResponsesHttpLLMService,
    OpenAIResponsesLLMService,
)
from pipecat_responses.protocol.names import ErrorName, noted_name

Service = OpenAIResponsesLLMService | OpenAIResponsesHttpLLMService
Transport = Literal["websocket", "http"]

OPENAI = "https://api.openai.com/v1"

_SECURE = {"http": "https", "ws": "wss"}


@dataclass(frozen=True, slots=True)
class Target:
    """A server.

    Attributes:
        transport: How requests travel.
        url: Its address in the scheme of the transport, or None for OpenAI's.
        api_key: The key to show it.
        has_key: Whether the user gave the key.
    """

    transport: Transport
    url: str | None
    api_key: str
    has_key: bool

    @property
    def where(self) -> str:
        """The address, for people."""
        return self.url or os.environ.get("OPENAI_BASE_URL") or OPENAI

    def service(self, model: str, system: str) -> Service:
        """Makes the service that talks to it.

        Raises:
            UnusableError: If the address cannot be used.
        """
        settings = OpenAIResponsesLLMService.Settings(model=model, system_instruction=system)
        try:
            if self.transport == "http":
                return OpenAIResponsesHttpLLMService(
                    api_key=self.api_key, base_url=self.url, settings=settings
                )
            if self.url is None:
                return OpenAIResponsesLLMService(api_key=self.api_key, settings=settings)
            return OpenAIResponsesLLMService(
                api_key=self.api_key, ws_url=self.url, settings=settings
            )
        except ValueError as error:
            raise UnusableError(_insecure(self.url) or str(error), noted_name(error)) from error


def find_target(transport: Transport, url: str | None, sandbox_url: str | None) -> Target:
    """Decides which server to talk to.

    Args:
        transport: How requests travel.
        url: The address the user gave, of any scheme.
        sandbox_url: The sandbox's base URL, when it is the one to talk to.

    Raises:
        UnusableError: If the address is none.
    """
    if sandbox_url is not None:
        return Target(transport, address_of(sandbox_url, transport), "sandbox", has_key=True)
    key = os.environ.get("OPENAI_API_KEY")
    if url is None:
        # What the service will use; an address that is none is told before it does.
        address_of(os.environ.get("OPENAI_BASE_URL") or OPENAI, transport)
    address = None if url is None else address_of(url, transport)
    return Target(transport, address, key or "none", has_key=bool(key))


def address_of(url: str, transport: Transport) -> str:
    """The same server's address in the scheme, and with the path, of a transport.

    Args:
        url: The address the user gave, of any scheme.
        transport: How requests travel.

    Raises:
        UnusableError: If the address is none.
    """
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.scheme not in ("http", "https", "ws", "wss"):
        raise UnusableError(
            f"{url!r} is no address of a server: take one that begins with wss://, https://, "
            "ws:// or http://, such as https://api.openai.com/v1.",
            ErrorName.ADDRESS,
        )
    secure = "s" if parts.scheme in ("https", "wss") else ""
    base = parts.path.rstrip("/").removesuffix("/responses")
    if transport == "http":
        return parts._replace(scheme=f"http{secure}", path=base).geturl()
    return parts._replace(scheme=f"ws{secure}", path=f"{base}/responses").geturl()


def _insecure(url: str | None) -> str | None:
    parts = urlsplit(url or "")
    if parts.scheme not in _SECURE:
        return None
    return (
        f"{parts.scheme}://{parts.hostname} would get the API key and the conversation in clear "
        f"text: use {_SECURE[parts.scheme]}://, or a server on this machine."
    )
