"""Proxies: which one leads to an address, the same for both transports.

The libraries below read the environment each in its own way: one takes ``ALL_PROXY`` and the other
does not, they match ``NO_PROXY`` by different rules, and where both a SOCKS and an HTTPS proxy are
named they choose differently. So the choice is made here, and they are told.
"""

from __future__ import annotations

import re
import socket
from base64 import b64encode
from dataclasses import dataclass, field
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from pipecat_responses.protocol.errors import ConnectionLostError

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
"""Kinds of proxies, and the port where one is if its address names none."""

_HOST = re.compile(r"[\w.\-:]+")

_VARIABLES = {
    # The WebSocket's own come first: they are there to send it another way than HTTP.
    "wss": ("wss", "https", "all", "socks"),
    "ws": ("ws", "http", "all", "socks"),
    "https": ("https", "all", "socks"),
    "http": ("http", "all", "socks"),
}
"""Which variables (``HTTPS_PROXY``, …) hold for addresses of a scheme; the first that is set."""

NO_SOCKS = (
    "SOCKS proxies need two more packages: install them with pip install 'pipecat-responses[socks]'"
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy.

    Attributes:
        scheme: ``"http"``, ``"https"``, ``"socks5"`` (names are looked up here) or ``"socks5h"``
            (names are looked up by the proxy).
        host: Its host.
        port: Its port.
        user: Who to be there, or None.
        password: The user's password.
    """

    scheme: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, address: str) -> Proxy:
        """Reads an address such as ``http://user:password@host:3128``.

        Raises:
            ValueError: If it is none, without a word of it.
        """
        try:
            parts = urlsplit(address)
            host, port, user = parts.hostname or "", parts.port, parts.username
        except ValueError:
            # Its text may hold a part of the password.
            raise ValueError(_NOT_ONE) from None
        if (
            parts.scheme not in _PORTS
            or not _HOST.fullmatch(host)
            or parts.path not in ("", "/")
            or parts.query
            or parts.fragment
        ):
            raise ValueError(_NOT_ONE)
        return cls(
            parts.scheme,
            host,
            port or _PORTS[parts.scheme],
            None if user is None else unquote(user),
            unquote(parts.password or ""),
        )

    @property
    def place(self) -> str:
        """Its host and port, for people."""
        return _place(self.host, self.port)

    @property
    def url(self) -> str:
        """Its address, without user and password."""
        return f"{self.scheme}://{self.place}"

    @property
    def address(self) -> str:
        """Its address, with user and password.

        Only what has to be is quoted: websockets reads what is quoted from version 17 on.
        """
        if self.user is None:
            return self.url
        user, password = (_IN_THE_WAY.sub(_quoted, each) for each in (self.user, self.password))
        return f"{self.scheme}://{user.replace(':', '%3A')}:{password}@{self.place}"

    @property
    def credentials(self) -> dict[str, str]:
        """The header that an HTTP proxy is shown its user by; none without a user."""
        if self.user is None:
            return {}
        token = b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {token}"}

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS."""
        return self.scheme.startswith("socks")

    @property
    def not_its_fault(self) -> tuple[type[Exception], ...]:
        """What is raised on the way to it and is about the server: a name that is looked up here.

        That of the proxy itself is wrapped by the packages for SOCKS.
        """
        return (socket.gaierror,) if self.is_socks else ()


_IN_THE_WAY = re.compile(r"[%/?#\[\]\\\x00-\x1f]")


def _quoted(letter: re.Match[str]) -> str:
    return quote(letter[0], safe="")


_NOT_ONE = (
    "is no address of a proxy: use http://, https://, socks5:// or socks5h://, a host and a port"
)


class Proxies:
    """The proxies of a service: one for all, or what the environment says.

    The environment is read once for each address, when the first connection is made to it.
    """

    def __init__(self, own: Proxy | None = None) -> None:
        """Chooses.

        Args:
            own: The proxy for all connections, whatever the environment says.
        """
        self._own = own
        self._found: dict[tuple[str, str | None, int | None], Proxy | None] = {}

    def leading_to(self, url: str) -> Proxy | None:
        """The proxy that leads to an address; None if it is reached without one.

        Raises:
            ConnectionLostError: If the environment names one that cannot be used.
        """
        if self._own is not None:
            return self._own
        parts = urlsplit(url)
        key = (parts.scheme, parts.hostname, parts.port)
        if key not in self._found:
            self._found[key] = _from_environment(*key)
        return self._found[key]


def has_socks() -> bool:
    """Whether the packages are there that SOCKS needs."""
    return find_spec("aiohttp_socks") is not None


def host_and_port(url: str) -> str:
    """Where an address is, for people: nothing of it that may be secret."""
    parts = urlsplit(url)
    default = 443 if parts.scheme in ("https", "wss") else 80
    return _place(parts.hostname or "?", parts.port or default)


def is_address(url: str) -> bool:
    """Whether it is said by a number where that is, and no name has to be looked up."""
    try:
        ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return False
    return True


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _from_environment(scheme: str, host: str | None, port: int | None) -> Proxy | None:
    named = getproxies()
    variable = next((each for each in _VARIABLES.get(scheme, ()) if named.get(each)), None)
    port = port or (443 if scheme in ("https", "wss") else 80)
    if variable is None or host is None or _needs_none(host, port, named.get("no", "")):
        return None
    address = named[variable]
    if variable == "socks" and address.startswith("http://"):
        # So operating systems write it.
        address = f"socks5h://{address.removeprefix('http://')}"
    if "://" not in address:
        address = f"http://{address}"
    try:
        proxy = Proxy.parse(address)
    except ValueError as error:
        raise ConnectionLostError(f"{variable.upper()}_PROXY {error}") from None
    if proxy.is_socks and not has_socks():
        raise ConnectionLostError(f"{variable.upper()}_PROXY: {NO_SOCKS}")
    return proxy


def _needs_none(host: str, port: int, exceptions: str) -> bool:
    """Whether an address is one of those that are reached without a proxy (``NO_PROXY``)."""
    if proxy_bypass(f"{host}:{port}"):
        return True
    # Python's own rules lack "*.example.com", "[::1]" and "10.0.0.0/8".
    return any(_covers(entry.strip().lower(), host) for entry in exceptions.split(","))


def _covers(entry: str, host: str) -> bool:
    if entry.startswith("*."):
        return host.endswith(entry[1:])
    try:
        network = ip_network(entry.replace("[", "").replace("]", ""), strict=False)
        return ip_address(host) in network
    except ValueError:
        # One of them is a name.
        return False
