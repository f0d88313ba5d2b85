"""The way to a server: its address, the key, TLS and proxies, and the SDK's client for it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipecat_responses.protocol.capabilities import ServerCapabilities
from pipecat_responses.service.addresses import check_address, check_proxy
from pipecat_responses.service.arguments import check_client, key_of
from pipecat_responses.service.secrets import ApiKey, Secrets
from pipecat_responses.service.servers import ServerName, find_server
from pipecat_responses.service.sessions import KNOWN, Proxies, TlsSettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from pipecat_responses.session.endpoint import Endpoint

DEFAULT_BASE_URL = "https://api.openai.com/v1"


class Access:
    """Who the server is and how one gets in.

    Attributes:
        server: What kind of server it is.
        base_url: The API's base URL.
        query: What is added to every address.
        secrets: What must not be shown.
        api_key: The key, or what gives it within the time there is for that.
        tls: TLS contexts for its connections.
        proxies: The ways to it.
        given_client: The application's own client, if it gave one.
        client_arguments: What a client is made of otherwise.
    """

    def __init__(
        self,
        *,
        server: ServerName | None,
        base_url: str | None,
        api_key: ApiKey | None,
        organization: str | None,
        project: str | None,
        default_headers: Mapping[str, str] | None,
        default_query: Mapping[str, str] | None,
        client: AsyncOpenAI | None,
        ssl_context: ssl.SSLContext | None,
        proxy: str | None,
        allow_insecure: bool,
        key_timeout: float,
    ) -> None:
        """Takes the arguments of a service, which tells of them.

        Raises:
            ValueError: If there is no key, an address is not right, or a client says already what
                another argument says.
            TypeError: If the client is none.
            ImportError: If the proxy speaks SOCKS, and the packages for that are not there.
        """
        if client is not None:
            check_client(
                client,
                api_key=api_key,
                base_url=base_url,
                organization=organization,
                project=project,
                default_headers=default_headers,
                default_query=default_query,
                proxy=proxy,
            )
            api_key = key_of(client)
            base_url = str(client.base_url)
            default_query = {name: str(value) for name, value in client.default_query.items()}
        self.server = find_server(server, base_url or os.environ.get("OPENAI_BASE_URL"))
        base_url = self.server.address(base_url) or os.environ.get("OPENAI_BASE_URL")
        self.base_url = base_url or DEFAULT_BASE_URL
        self.query = default_query or {}
        self._allow_insecure = allow_insecure
        self._key_timeout = key_timeout
        self.tls = TlsSettings(ssl_context)
        self.proxies = Proxies(None if proxy is None else check_proxy(proxy))
        self.secrets = Secrets()
        self.secrets.add_headers(default_headers or {})
        self.secrets.add_address(self.base_url)
        self.secrets.add_address(proxy or "")
        key = self.server.key(api_key)
        self.api_key = self.secrets.guard(key, key_timeout)
        if client is not None and not isinstance(self.api_key, str):
            # The same client, whose source of keys has no more time than any other.
            client = client.with_options(api_key=self.api_key)
        self.given_client = client
        self.client_arguments: dict[str, Any] = {
            "api_key": self.api_key,
            "base_url": base_url,
            "organization": organization,
            "project": project,
            "default_headers": {**self.server.key_headers(key), **(default_headers or {})},
            "default_query": default_query,
        }

    def check(self, url: str) -> None:
        """Refuses an address to which the key must not go.

        Raises:
            ValueError: If it is none, or would show the key to the network.
        """
        check_address(url, allow_insecure=self._allow_insecure)

    def settle(self, base_url: str) -> None:
        """The address is certain: it is checked, and TLS is made ready for it.

        Args:
            base_url: The API's base URL, which a client of the application's own may know better.

        Raises:
            ValueError: If the key must not go there.
        """
        self.base_url = base_url
        self.check(base_url)
        self.tls.prepare(base_url)

    def capabilities(self, url: str) -> ServerCapabilities:
        """What the process knows of an address; at first, what is known of such servers."""
        return KNOWN.of(url, self.server.capabilities)

    def new_client(self, **arguments: Any) -> AsyncOpenAI:
        """A client of the SDK's, with our own way of opening connections below it.

        Args:
            **arguments: The SDK's own.
        """
        from pipecat_responses.service.over_http import new_client

        return new_client(self.tls, self.proxies, **arguments)

    def arguments_for(self, endpoint: Endpoint) -> dict[str, Any]:
        """What a client of a second server is made of.

        Raises:
            ValueError: If there is no key for it, or its address is not right.
        """
        self.check(endpoint.base_url)
        self.secrets.add_address(endpoint.base_url)
        self.tls.prepare(endpoint.base_url)
        server = find_server(None, endpoint.base_url)
        key = server.key(endpoint.api_key)
        return {
            "api_key": self.secrets.guard(key, self._key_timeout),
            "base_url": endpoint.base_url,
            "default_headers": server.key_headers(key),
        }
