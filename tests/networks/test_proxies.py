"""Proxies: by argument and by environment, on both transports, and named when they fail."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import trustme
from openai import AsyncOpenAI

from pipecat_responses import OpenAIResponsesHttpLLMService, OpenAIResponsesLLMService
from pipecat_responses.protocol.errors import ConnectionLostError
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.service import addresses
from pipecat_responses.transport import proxies
from pipecat_responses.transport.proxies import Proxies, Proxy
from tests.faults.support import Talk, counted, new_service, talking, until
from tests.support.events import told
from tests.support.failing import TRANSPORTS, failing, said
from tests.support.proxies import HttpProxy, SocksProxy

BOTH = pytest.mark.parametrize("transport", TRANSPORTS)
USER = ("an odd user", "p@ss:word-0123456789")
PLAIN = ("somebody", "password-0123456789")
VARIABLES = ("http", "https", "ws", "wss", "all", "socks", "no")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_PROXY".upper(), raising=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def of_both(sandbox: Sandbox, authority: trustme.CA) -> ssl.SSLContext:
    """Trusts the sandbox, and a proxy that is reached over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    if sandbox.authority is not None:
        context.load_verify_locations(cadata=sandbox.authority.decode())
    return context


def encrypting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


KINDS: dict[str, Callable[[trustme.CA], Any]] = {
    "http": lambda _: HttpProxy(user=USER),
    "https": lambda authority: HttpProxy(tls=encrypting(authority), user=USER),
    "socks5": lambda _: SocksProxy("socks5"),
    "socks5h": lambda _: SocksProxy(user=PLAIN),
}


# -- by argument ----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("kind", "tls"), [*((kind, True) for kind in KINDS), ("http", False), ("socks5h", False)]
)
async def test_a_call_by_way_of_a_proxy(
    transport: Any, kind: str, tls: bool, authority: trustme.CA
) -> None:
    async with Sandbox(tls=tls) as sandbox, KINDS[kind](authority) as proxy:
        settings = {"proxy": proxy.url, "ssl_context": of_both(sandbox, authority)}
        async with talking(sandbox, transport, **settings) as talk:
            for top in (3, 4):
                heard = await talk.turn(f"count to {top}")
                assert (heard.text, heard.errors) == (counted(top), [])
            assert {each.transport for each in sandbox.requests} == {transport}
        # Nothing has gone any other way.
        assert proxy.ways
        assert set(proxy.ways) == {f"127.0.0.1:{sandbox.port}"}
        assert proxy.bytes_down > 0
        if isinstance(proxy, HttpProxy):
            plain = transport == "http" and sandbox.ssl_context is None
            assert (proxy.forwarded > 0, proxy.tunnels > 0) == (plain, not plain)


@BOTH
@pytest.mark.parametrize(("scheme", "host"), [("socks5", "127.0.0.1"), ("socks5h", "localhost")])
async def test_who_looks_names_up(transport: Any, scheme: str, host: str) -> None:
    class Named(Sandbox):
        """One that is asked for by its name."""

        _netloc = property(lambda self: f"localhost:{self.port}")

    async with Named() as server, SocksProxy(scheme) as proxy:
        async with talking(server, transport, proxy=proxy.url) as talk:
            heard = await talk.turn("count to 3")
            assert (heard.text, heard.errors) == (counted(3), [])
        assert set(proxy.ways) == {f"{host}:{server.port}"}


@BOTH
async def test_the_argument_comes_before_the_environment(
    sandbox: Sandbox, transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "*")
    async with HttpProxy() as proxy, talking(sandbox, transport, proxy=proxy.url) as talk:
        assert (await talk.turn("count to 3")).text == counted(3)
        assert proxy.ways


@pytest.mark.parametrize("make", [OpenAIResponsesLLMService, OpenAIResponsesHttpLLMService])
def test_an_argument_that_makes_no_sense(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (
        "",
        "127.0.0.1:3128",
        "ftp://127.0.0.1:3128",
        "socks4://127.0.0.1:1080",
        "http://",
        "http://an odd host:1",
        "http://127.0.0.1:70000",
        "http://somebody:pass/word-0123@127.0.0.1:1",
        "http://127.0.0.1:3128/path",
        "http://127.0.0.1:3128?a=b",
    ):
        with pytest.raises(ValueError, match="proxy is no address of a proxy") as refused:
            make(api_key="x", proxy=wrong)
        assert "word-0123" not in str(refused.value)
    with pytest.raises(ValueError, match="client has its own proxy"):
        make(client=AsyncOpenAI(api_key="x"), proxy="http://127.0.0.1:3128")
    monkeypatch.setattr(addresses, "has_socks", lambda: False)
    with pytest.raises(ImportError, match=r"pipecat-responses\[socks\]"):
        make(api_key="x", proxy="socks5://127.0.0.1:1080")


def test_its_password_is_a_secret() -> None:
    llm = OpenAIResponsesLLMService(
        api_key="x", proxy="http://somebody-long:p%40ssword-0123@127.0.0.1:3128"
    )
    assert llm._secrets.mask("p%40ssword-0123 p@ssword-0123 somebody-long") == "*** *** ***"
    proxy = Proxy.parse("http://somebody-long:p%40ssword-0123@[::1]:3128")
    assert (proxy.user, proxy.password) == ("somebody-long", "p@ssword-0123")
    for odd in (proxy, replace(proxy, user="a:b", password="%41/?#[]@: \\\t")):
        assert Proxy.parse(odd.address) == odd
    assert (proxy.place, proxy.url) == ("[::1]:3128", "http://[::1]:3128")
    assert "ssword" not in repr(proxy)
    assert "somebody" not in repr(proxy)


# -- by environment -------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(("variable", "tls"), [("HTTPS_PROXY", True), ("ALL_PROXY", False)])
async def test_the_environment_names_one(
    transport: Any, variable: str, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(tls=tls) as sandbox, HttpProxy(user=USER) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        async with talking(sandbox, transport) as talk:
            assert (await talk.turn("count to 3")).text == counted(3)
        assert proxy.ways


@BOTH
async def test_no_proxy(sandbox: Sandbox, transport: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with HttpProxy() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "example.com, 127.0.0.0/8")
        async with talking(sandbox, transport) as talk:
            assert (await talk.turn("count to 3")).text == counted(3)
        assert proxy.seen == 0


FIRST, SECOND = "http://one.test:1", "http://two.test:2"


@pytest.mark.parametrize(
    ("url", "named", "chosen"),
    [
        ("https://api.test/v1", {}, None),
        ("https://api.test/v1", {"https": FIRST, "all": SECOND}, FIRST),
        ("wss://api.test/v1", {"https": FIRST, "wss": SECOND}, SECOND),
        ("https://api.test/v1", {"http": FIRST}, None),
        ("ws://api.test/v1", {"http": FIRST, "https": SECOND}, FIRST),
        ("ws://api.test/v1", {"ws": SECOND, "http": FIRST}, SECOND),
        ("wss://api.test/v1", {"socks": "socks5h://one.test:1"}, "socks5h://one.test:1"),
        ("wss://api.test/v1", {"socks": FIRST}, "socks5h://one.test:1"),
        ("https://api.test/v1", {"https": "one.test:1"}, FIRST),
        ("https://api.test/v1", {"https": "socks5://one.test"}, "socks5://one.test:1080"),
        ("https://api.test/v1", {"https": FIRST, "no": "*"}, None),
        ("https://api.test/v1", {"https": FIRST, "no": "api.test"}, None),
        ("https://api.test/v1", {"https": FIRST, "no": "test"}, None),
        ("https://api.test/v1", {"https": FIRST, "no": "*.test"}, None),
        ("https://api.test/v1", {"https": FIRST, "no": ".other, pi.test"}, FIRST),
        ("https://api.test/v1", {"https": FIRST, "no": "api.test:8443"}, FIRST),
        ("https://api.test:8443/v1", {"https": FIRST, "no": "api.test:8443"}, None),
        ("wss://10.1.2.3/v1", {"https": FIRST, "no": "10.0.0.0/8"}, None),
        ("wss://11.1.2.3/v1", {"https": FIRST, "no": "10.0.0.0/8"}, FIRST),
        ("wss://[::1]:443/v1", {"https": FIRST, "no": "[::1]"}, None),
        ("wss://[fd00::1]/v1", {"https": FIRST, "no": "fd00::/8"}, None),
    ],
)
def test_which_proxy_is_chosen(
    url: str, named: dict[str, str], chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in named.items():
        monkeypatch.setenv(f"{name}_proxy", value)
    found = Proxies().leading_to(url)
    assert (found and found.url) == chosen


def test_what_the_environment_names_may_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks4://somebody:password-0123@one.test")
    with pytest.raises(ConnectionLostError, match="HTTPS_PROXY is no address") as told_:
        Proxies().leading_to("https://api.test/v1")
    assert "password" not in str(told_.value)
    monkeypatch.setattr(proxies, "has_socks", lambda: False)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://one.test")
    with pytest.raises(ConnectionLostError, match=r"HTTPS_PROXY: .*pipecat-responses\[socks\]"):
        Proxies().leading_to("https://api.test/v1")


# -- proxies that fail ----------------------------------------------------------------------------


@pytest.fixture
async def secure() -> AsyncIterator[Sandbox]:
    async with Sandbox(tls=True) as server:
        yield server


@pytest.mark.parametrize("status", [407, 502])
async def test_a_proxy_that_refuses(secure: Sandbox, status: int) -> None:
    async with HttpProxy() as proxy:
        proxy.refuse = status
        error = await said(secure, proxy=proxy.url)
        assert error.failure is Failure.CONNECTION
        assert error.status == status
        assert f"the proxy {proxy.place} on the way to 127.0.0.1:{secure.port}" in error.message
        assert ("user or password" in error.message) == (status == 407)
    assert not secure.requests


@pytest.mark.parametrize("make", [HttpProxy, SocksProxy])
async def test_a_proxy_that_wants_another_password(secure: Sandbox, make: Any) -> None:
    async with make(user=PLAIN) as proxy:
        wrong = await said(secure, proxy=proxy.url.replace("password", "passport"))
        assert wrong.message.startswith(
            f"Wrong user or password, or none, for the proxy {proxy.place}"
        )
        assert "passport" not in wrong.message
        assert wrong.failure is Failure.CONNECTION


@BOTH
async def test_a_proxy_that_wants_a_password_for_what_is_not_encrypted(
    sandbox: Sandbox, transport: Any
) -> None:
    async with HttpProxy(user=USER) as proxy:
        async with failing(sandbox, transport, proxy=proxy.bare_url) as (talk, _):
            (report,) = (await talk.turn("count to 3")).errors
            assert "Wrong user or password, or none" in report.error
        assert not sandbox.requests


async def test_a_socks_proxy_that_refuses(secure: Sandbox) -> None:
    async with SocksProxy() as proxy:
        proxy.refuse = 2
        error = await said(secure, proxy=proxy.url)
        assert error.failure is Failure.CONNECTION
        assert f"by the proxy {proxy.place} on the way to" in error.message
        assert "not allowed" in error.message


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_nobody_is_at_the_proxy(secure: Sandbox, scheme: str) -> None:
    async with HttpProxy() as proxy:
        place = proxy.place
    error = await said(secure, proxy=f"{scheme}://{place}")
    assert error.failure is Failure.CONNECTION
    assert f"Nothing answers at the proxy {place} on the way to" in error.message


async def test_no_machine_has_the_proxys_name(secure: Sandbox) -> None:
    error = await said(secure, proxy="socks5h://nobody.invalid:3128")
    assert error.failure is Failure.CONNECTION
    assert "The name of the proxy nobody.invalid:3128 on the way to" in error.message


@pytest.mark.parametrize("make", [HttpProxy, SocksProxy])
async def test_a_proxy_that_swallows(secure: Sandbox, make: Any) -> None:
    async with make() as proxy:
        proxy.silent = True
        error = await said(secure, proxy=proxy.url, connections={"open_secs": 0.2})
        assert error.failure is Failure.TIMEOUT
        assert f"by way of the proxy {proxy.place} within" in error.message


async def test_a_proxy_that_hangs_up(secure: Sandbox) -> None:
    async with HttpProxy() as proxy:
        proxy.hang_up = True
        error = await said(secure, proxy=proxy.url)
        assert error.failure is Failure.CONNECTION
        assert f"No answer that a proxy gives from the proxy {proxy.place}" in error.message


async def test_a_proxy_whose_certificate_nobody_knows(
    secure: Sandbox, authority: trustme.CA
) -> None:
    async with HttpProxy(tls=encrypting(authority)) as proxy:
        error = await said(secure, proxy=proxy.url)
        assert f"No secure connection to the proxy {proxy.place}" in error.message
        assert "its certificate is not trusted" in error.message


async def test_a_server_whose_certificate_nobody_knows(secure: Sandbox) -> None:
    async with HttpProxy() as proxy, Sandbox(tls=True) as other:
        error = await said(secure, proxy=proxy.url, ssl_context=other.ssl_context)
        assert f"No secure connection to 127.0.0.1:{secure.port}: its" in error.message


@BOTH
@pytest.mark.parametrize("make", [HttpProxy, SocksProxy])
async def test_a_proxy_that_dies_in_the_middle(secure: Sandbox, transport: Any, make: Any) -> None:
    secure.config.tokens_per_second = 300
    async with make() as proxy, talking(secure, transport, proxy=proxy.url) as talk:

        async def meanwhile() -> None:
            await talk.text_arrives(3)
            proxy.cut()

        heard = await talk.turn("count to 30", meanwhile=meanwhile)
        assert (heard.text, heard.errors) == (counted(30), [])
        assert talk.llm.stats.resumed == 1


async def test_no_tunnel_for_what_is_not_encrypted(sandbox: Sandbox) -> None:
    """Many proxies make tunnels for TLS only: the turn goes over HTTP, which needs none here."""
    async with HttpProxy() as proxy:
        proxy.refuse = 403
        llm = new_service(sandbox, "websocket", proxy=proxy.url)
        changes = told(llm, "on_transport_changed")
        async with Talk(llm) as talk:
            heard = await talk.turn("count to 3")
            assert (heard.text, heard.errors) == (counted(3), [])
            assert await changes.get() == "http"
            assert proxy.forwarded == 1
            await until(lambda: proxy.tunnels > 0)
