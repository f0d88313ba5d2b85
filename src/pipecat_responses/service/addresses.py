"""Addresses: checked once, and one made from the other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlencode, urlsplit

from pipecat_responses.protocol.names import ErrorName, named
from pipecat_responses.transport.proxies import NO_SOCKS, Proxy, has_socks


@lru_cache(64)
def check_address(url: str, *, allow_insecure: bool) -> None:
    """Refuses what is no address of a server, and what would show the key to the network.

    Args:
        url: The address.
        allow_insecure: Whether the key may be sent in clear text to another host.

    Raises:
        ValueError: If it is refused, with what to do about it.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
        # Without its query and password: they may be secret.
        shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
        raise named(
            ValueError(f"{shown!r} is no address of a server: use https:// or wss://"),
            ErrorName.ADDRESS,
        )
    if parts.scheme in ("https", "wss") or allow_insecure:
        return
    if not is_loopback(parts.hostname):
        raise named(
            ValueError(
                f"{parts.scheme}://{parts.hostname} would send the API key in clear text: use "
                f"{parts.scheme}s://, or pass allow_insecure_transport=True if the network is safe"
            ),
            ErrorName.INSECURE_ADDRESS,
        )


def check_proxy(address: str) -> Proxy:
    """Reads the address of a proxy.

    Raises:
        ValueError: If it is none, or of a kind that is not known.
        ImportError: If it speaks SOCKS, and the packages for that are not there.
    """
    try:
        proxy = Proxy.parse(address)
    except ValueError as error:
        raise named(ValueError(f"proxy {error}"), ErrorName.PROXY) from None
    if proxy.is_socks and not has_socks():
        raise named(ImportError(NO_SOCKS), ErrorName.SOCKS)
    return proxy


def ws_address(base_url: str, more: Mapping[str, object]) -> str:
    """The WebSocket's address of an API.

    Args:
        base_url: The API's base URL.
        more: What is added to the query.
    """
    scheme, _, rest = base_url.partition("://")
    path, _, query = rest.partition("?")
    address = f"{'ws' if scheme == 'http' else 'wss'}://{path.rstrip('/')}/responses"
    whole = "&".join(each for each in (query, urlencode(more)) if each)
    return f"{address}?{whole}" if whole else address


def http_address(ws_url: str) -> str | None:
    """The API's base URL, from its WebSocket's address; None if it does not tell."""
    scheme, _, rest = ws_url.partition("://")
    path = rest.partition("?")[0].rstrip("/")
    if not path.endswith("/responses"):
        return None
    return f"{'http' if scheme == 'ws' else 'https'}://{path.removesuffix('/responses')}"


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
