"""Servers by name: where they are, how they take a key, and what they are known to lack.

What stands here is from their documentation and their users (autumn 2026). Whatever a server lacks
beyond it is learned from it (``ServerCapabilities``); nothing here has to be right for a call to
hold.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from pipecat_responses.protocol.capabilities import Capability, ServerCapabilities
from pipecat_responses.protocol.names import ErrorName, named
from pipecat_responses.service.secrets import ApiKey

if TYPE_CHECKING:
    from openai import Omit

ServerName: TypeAlias = Literal[
    "openai", "azure", "xai", "openrouter", "litellm", "vllm", "ollama", "lmstudio"
]
"""The servers that are known by name."""

NO_KEY = "no-key-needed"
"""Stands for the key where a server on one's own machine wants none."""


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of a kind of servers.

    Attributes:
        name: Its name.
        base_url: Where it is, if that is always the same place; None for OpenAI's own.
        key_variable: The environment variable that holds its key.
        key_is_needed: Whether it wants one.
        hosts: Hosts that are certain to be such a server, with all hosts below them.
        endpoint_variable: The environment variable that holds its address, if there is one.
        endpoint_path: What to add to that.
        key_header: The header for a key; None for a bearer token. Tokens that a callable gives are
            always bearer tokens.
        model_in_handshake: Whether the WebSocket's address has to name the model.
        lacks: What it does not have, by what is published.
        takes_allowed_tools: Whether it is published that it heeds a choice among the tools.
    """

    name: str
    base_url: str | None = None
    key_variable: str = "OPENAI_API_KEY"
    key_is_needed: bool = True
    hosts: tuple[str, ...] = ()
    endpoint_variable: str | None = None
    endpoint_path: str = ""
    key_header: str | None = None
    model_in_handshake: bool = False
    lacks: tuple[Capability, ...] = ()
    takes_allowed_tools: bool = False

    def capabilities(self) -> ServerCapabilities:
        """What is known of it before it was ever asked."""
        known = ServerCapabilities()
        for capability in self.lacks:
            known.learn(capability, False, f"What is published about {self.name}")
        return known

    def address(self, base_url: str | None) -> str | None:
        """Its base URL.

        Args:
            base_url: What was given.

        Raises:
            ValueError: If there is none.
        """
        if base_url or (self.base_url is None and self.endpoint_variable is None):
            return base_url
        if self.endpoint_variable is None:
            return self.base_url
        endpoint = os.environ.get(self.endpoint_variable)
        if not endpoint:
            raise named(
                ValueError(
                    f'server="{self.name}" needs an address: pass base_url=... or set the '
                    f"environment variable {self.endpoint_variable}"
                ),
                ErrorName.ADDRESS,
            )
        return endpoint.rstrip("/") + self.endpoint_path

    def key(self, given: ApiKey | None) -> ApiKey:
        """The key to use.

        Raises:
            ValueError: If there is none.
        """
        key = given or os.environ.get(self.key_variable)
        if key:
            return key
        if not self.key_is_needed:
            return NO_KEY
        owner = "OpenAI" if self.name == "openai" else self.name
        raise named(
            ValueError(
                f"There is no {owner} API key: pass api_key=... or set the environment variable "
                f"{self.key_variable}"
            ),
            ErrorName.API_KEY,
        )

    def key_headers(self, key: ApiKey) -> dict[str, str | Omit]:
        """Headers that take the place of the bearer token.

        Args:
            key: The key.
        """
        if self.key_header is None or not isinstance(key, str):
            return {}
        from openai import Omit

        return {self.key_header: key, "Authorization": Omit()}


SERVERS: dict[str, Server] = {
    each.name: each
    for each in (
        Server("openai", hosts=("api.openai.com",), takes_allowed_tools=True),
        Server(
            "azure",
            key_variable="AZURE_OPENAI_API_KEY",
            hosts=("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com"),
            endpoint_variable="AZURE_OPENAI_ENDPOINT",
            endpoint_path="/openai/v1",
            key_header="api-key",
            takes_allowed_tools=True,
        ),
        Server(
            "xai",
            base_url="https://api.x.ai/v1",
            key_variable="XAI_API_KEY",
            hosts=("api.x.ai",),
            # Its users say so; instructions in a message are right either way.
            lacks=(Capability.INSTRUCTIONS_WHEN_CONTINUING,),
        ),
        Server(
            "openrouter",
            base_url="https://openrouter.ai/api/v1",
            key_variable="OPENROUTER_API_KEY",
            hosts=("openrouter.ai",),
            lacks=(
                Capability.WEBSOCKET,
                Capability.CONTINUATION,
                Capability.STORED_CONTINUATION,
            ),
        ),
        Server(
            "litellm",
            base_url="http://localhost:4000/v1",
            key_variable="LITELLM_API_KEY",
            key_is_needed=False,
            model_in_handshake=True,
        ),
        Server(
            "vllm",
            base_url="http://localhost:8000/v1",
            key_variable="VLLM_API_KEY",
            key_is_needed=False,
            lacks=(Capability.WEBSOCKET,),
        ),
        Server(
            "ollama",
            base_url="http://localhost:11434/v1",
            key_variable="OLLAMA_API_KEY",
            key_is_needed=False,
            lacks=(Capability.WEBSOCKET,),
        ),
        Server(
            "lmstudio",
            base_url="http://localhost:1234/v1",
            key_variable="LM_API_TOKEN",
            key_is_needed=False,
            lacks=(Capability.WEBSOCKET,),
        ),
    )
}
"""Every server by its name (a test holds that they are those of ``ServerName``)."""


def find_server(name: str | None, base_url: str | None) -> Server:
    """The server that is meant.

    Args:
        name: Its name, if one was given.
        base_url: Its address; the server is told from it where that is certain.

    Returns:
        The server; an address that tells nothing counts as OpenAI's kind.

    Raises:
        ValueError: If no server has that name.
    """
    if name is not None:
        if name not in SERVERS:
            names = ", ".join(repr(each) for each in get_args(ServerName))
            raise named(
                ValueError(f"server must be one of {names}, not {name!r}"), ErrorName.ARGUMENT
            )
        return SERVERS[name]
    return _by_host((urlsplit(base_url or "").hostname or "").lower())


@lru_cache
def _by_host(host: str) -> Server:
    for server in SERVERS.values():
        if any(host == each or host.endswith(f".{each}") for each in server.hosts):
            return server
    return SERVERS["openai"]
