"""The server that is examined: where it is, how it is asked, what checks leave to each other."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from httpx2 import Limits
from openai import AsyncOpenAI

from pipecat_responses.doctor.answers import Answer, named_field
from pipecat_responses.doctor.line import Line
from pipecat_responses.protocol.encoding import encode
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.requests import Payload
from pipecat_responses.service.addresses import check_address, ws_address
from pipecat_responses.service.secrets import Secrets, check_key
from pipecat_responses.service.settings import lowest_effort, supports_reasoning
from pipecat_responses.transport.http import HttpOptions, stream
from pipecat_responses.transport.http_client import create_http_client
from pipecat_responses.transport.proxies import Proxies, Proxy
from pipecat_responses.transport.tls import TlsSettings
from pipecat_responses.transport.websocket import SocketOptions

_NO_KEY = "none"
"""What is shown as the key where there is none: some servers want any."""

_SHORT = 64
"""Tokens for an answer of a few words."""

_THINKING = 512
"""Tokens for an answer of a few words and for the thinking before it."""


@dataclass(frozen=True, slots=True)
class Told:
    """A response that has been told a word.

    Attributes:
        word: The word.
        answer: The response.
    """

    word: str
    answer: Answer


class Server:
    """The server that is examined.

    Attributes:
        base_url: The API's address.
        ws_url: The WebSocket's address.
        model: The model that is asked.
        has_key: Whether there is a key to show.
        within: Seconds that a step may take.
        tls: Which TLS context is used.
        first: The first answer over HTTP, once it was asked for.
        refused: Optional fields that the server has refused, with its words.
        suspected: Optional fields that are left out, since the server has refused one of them
            without saying which.
        line: The connection that is open all the time, once there is one.
        told: What the model was told on it.
        stopped: What the model was told in a response that was stopped, and where.
    """

    def __init__(
        self,
        base_url: str,
        ws_url: str | None,
        api_key: str | None,
        model: str,
        *,
        within: float,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        """Prepares to ask; nothing is sent.

        Args:
            base_url: The API's address; a query is sent with every request.
            ws_url: The WebSocket's address; None for the one that goes with the base URL.
            api_key: The key, or None.
            model: The model to ask.
            within: Seconds that a step may take.
            ssl_context: The TLS context to use; None for that of the environment.

        Raises:
            ValueError: If an address or the key cannot be used.
        """
        self._secrets = Secrets()
        self.has_key = api_key is not None
        if api_key is not None:
            check_key(api_key)
            self._secrets.add(api_key)
        self.base_url = base_url.rstrip("/")
        self.ws_url = ws_url or ws_address(self.base_url, {})
        for url in (self.base_url, self.ws_url):
            # Without a key there is none to be shown to the network.
            check_address(url, allow_insecure=not self.has_key)
            self._secrets.add_address(_without_value(url, model))
        self.model = model
        self.within = within
        self.tls = TlsSettings(ssl_context)
        self.tls.prepare(self.base_url)
        self._proxies = Proxies()
        self.first: Answer | None = None
        self.refused: dict[str, str] = {}
        self.suspected: dict[str, Any] = {}
        self.line: Line | None = None
        self.told: Told | None = None
        self.stopped: tuple[Line, Told] | None = None
        self._effort = lowest_effort(model)
        self._optional = self._of_all_requests()
        self._answers: list[Answer] = []
        self._lines: list[Line] = []
        self._posts: set[asyncio.Task[None]] = set()
        parts = urlsplit(self.base_url)
        self._client = AsyncOpenAI(
            api_key=api_key or _NO_KEY,
            base_url=parts._replace(query="").geturl(),
            default_query=dict(parse_qsl(parts.query)),
            http_client=create_http_client(self.tls, self._proxies, Limits(max_connections=20)),
        )

    @property
    def address(self) -> str:
        """The WebSocket's address, without what may be secret in it."""
        parts = urlsplit(self.ws_url)
        port = f":{parts.port}" if parts.port else ""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}{port}{parts.path}"

    @property
    def host(self) -> str:
        """The host's name, for sentences."""
        return urlsplit(self.base_url).hostname or "?"

    @property
    def proxy(self) -> Proxy | None:
        """The proxy that the environment names for the server.

        Raises:
            ConnectionLostError: If it names one that cannot be used.
        """
        return self._proxies.leading_to(self.base_url)

    @property
    def on_this_machine(self) -> bool:
        """Whether the server is here, with nothing on the way to it."""
        if self.proxy is not None:
            return False
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def reasons(self) -> bool | None:
        """Whether the model reasons; None if that is not known."""
        return supports_reasoning(self.model)

    @property
    def tokens(self) -> int:
        """Tokens that all answers have cost so far, as far as the server says."""
        return sum(each.usage.total for each in self._answers if each.usage is not None)

    def mask(self, text: str) -> str:
        """A text without secrets."""
        return self._secrets.mask(text)

    async def close(self) -> None:
        """Releases everything."""
        for task in self._posts:
            task.cancel()
        await asyncio.gather(*self._posts, return_exceptions=True)
        await asyncio.gather(*(each.close() for each in self._lines))
        await self._client.close()

    # -- requests ---------------------------------------------------------------------------------

    def request(self, text: str, /, **fields: Any) -> dict[str, Any]:
        """The fields of a request.

        Args:
            text: What the user says.
            fields: Other fields; None leaves one out.
        """
        message = {"type": "message", "role": "user", "content": text}
        values = {"model": self.model, **self._optional, "input": [message], **fields}
        return {name: value for name, value in values.items() if value is not None}

    def post(self, fields: Mapping[str, Any]) -> Answer:
        """Sends a request over HTTP, and returns its answer, of which nothing has come yet."""
        answer = self._counted(Answer())
        task = asyncio.create_task(self._post(fields, answer), name="pipecat-responses http")
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)
        return answer

    async def ask(self, fields: Mapping[str, Any]) -> Answer:
        """Has a request answered by whichever transport there is."""
        if self.first is not None and self.first.error is None:
            return await self.post(fields).until_ended(self.within)
        async with self.another_line() as line:
            return await self.ask_on(line, fields)

    def send_on(self, line: Line, fields: Mapping[str, Any], *, lane: str | None = None) -> Answer:
        """Sends a request on a connection, and returns its answer; nothing of it has come yet."""
        return self._counted(line.send(fields, lane=lane))

    async def ask_on(
        self, line: Line, fields: Mapping[str, Any], *, lane: str | None = None
    ) -> Answer:
        """Has a request answered on a connection."""
        return await self.send_on(line, fields, lane=lane).until_ended(self.within)

    async def forget(self, response_id: str) -> bool:
        """Deletes a stored response; False if the server would not."""
        try:
            async with asyncio.timeout(self.within):
                await self._client.responses.delete(response_id)
        except Exception:  # noqa: BLE001 - whatever it is, the caller says that it is still there
            return False
        return True

    # -- connections ------------------------------------------------------------------------------

    async def open_line(self) -> Line:
        """Opens a connection that stays open until the end.

        Raises:
            ResponsesError: If that fails.
        """
        own = self._client.default_headers.items()
        headers = {name: value for name, value in own if isinstance(value, str)}
        options = SocketOptions(
            open_timeout=self.within, close_timeout=1.0, tls=self.tls, proxies=self._proxies
        )
        line = await Line.open(
            self.ws_url,
            {"Authorization": f"Bearer {self._client.api_key}", **headers},
            options,
            self.within,
        )
        self._lines.append(line)
        return line

    @asynccontextmanager
    async def another_line(self) -> AsyncIterator[Line]:
        """A connection for a while.

        Raises:
            ResponsesError: If it cannot be opened.
        """
        line = await self.open_line()
        try:
            yield line
        finally:
            self._lines.remove(line)
            await line.close()

    # -- optional fields --------------------------------------------------------------------------

    @property
    def usual_fields(self) -> tuple[str, ...]:
        """The optional fields that all requests carry."""
        return tuple(self._optional)

    def leave_out(self, error: ResponsesError) -> bool:
        """Leaves out the fields that an error may be about; False if it is about none of them."""
        name = named_field(error, self._optional)
        if name is not None:
            self.refused[name] = error.message
            del self._optional[name]
            return True
        suspected, self._optional = self._optional, {}
        self.suspected |= suspected
        return bool(suspected)

    def put_back(self) -> None:
        """Sends the fields again that were left out on suspicion, since it was not they."""
        self._optional |= self.suspected
        self.suspected = {}

    def _of_all_requests(self) -> dict[str, Any]:
        """The optional fields of all requests."""
        values: dict[str, Any] = {"store": False}
        quick = self.reasons is False or self._effort == "none"
        values["max_output_tokens"] = _SHORT if quick else _THINKING
        if self._effort is not None:
            values["reasoning"] = {"effort": self._effort}
        return values

    # -- inside -----------------------------------------------------------------------------------

    def _counted(self, answer: Answer) -> Answer:
        self._answers.append(answer)
        return answer

    async def _post(self, fields: Mapping[str, Any], answer: Answer) -> None:
        data = encode({**fields, "stream": True})
        options = HttpOptions(open_timeout=self.within)

        payload = Payload(((data,),), len(data))
        try:
            await stream(self._client, payload, answer.take, lambda: None, lambda _: None, options)
        except ResponsesError as error:
            answer.fail(error)
        said = "The answer ended without its last event"
        answer.fail(ResponsesError(said, failure=Failure.UNENDED, transport="http"))


def _without_value(url: str, value: str) -> str:
    """An address without a value in its query: the model's name is no secret."""
    parts = urlsplit(url)
    others = [pair for pair in parse_qsl(parts.query) if pair[1] != value]
    return parts._replace(query=urlencode(others)).geturl()
