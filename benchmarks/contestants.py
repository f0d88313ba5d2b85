"""Who is measured: Pipecat's two services, ours, and a pipeline without any."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.openai.responses import llm as theirs

from pipecat_responses import llm as ours
from pipecat_responses.service.settings import default_settings

INSTRUCTIONS = "You are a helpful assistant on the phone. Answer in one or two short sentences."

Transport = Literal["websocket", "http"]


@dataclass(frozen=True)
class Contestant:
    """A service that can be put into a pipeline.

    Attributes:
        name: How tables call it.
        short: How JSON and options call it.
        transport: How its requests travel.
        ours: Whether it is this package's.
    """

    name: str
    short: str
    transport: Transport
    ours: bool
    make: Callable[..., Any]

    def service(self, base_url: str) -> Any:
        """Creates the service for a server."""
        return self.make(base_url)


def _address(base_url: str) -> dict[str, Any]:
    return {"api_key": "benchmark", "base_url": base_url}


def _ws(base_url: str) -> str:
    return f"ws{base_url.removeprefix('http')}/responses"


def _pipecat_ws(base_url: str) -> Any:
    service = theirs.OpenAIResponsesLLMService
    return service(
        **_address(base_url),
        ws_url=_ws(base_url),
        settings=service.Settings(system_instruction=INSTRUCTIONS),
    )


def _pipecat_http(base_url: str) -> Any:
    service = theirs.OpenAIResponsesHttpLLMService
    return service(**_address(base_url), settings=service.Settings(system_instruction=INSTRUCTIONS))


def _our_ws(base_url: str) -> Any:
    service = ours.OpenAIResponsesLLMService
    return service(
        **_address(base_url),
        ws_url=_ws(base_url),
        settings=service.Settings(system_instruction=INSTRUCTIONS),
    )


def _our_http(base_url: str) -> Any:
    service = ours.OpenAIResponsesHttpLLMService
    return service(**_address(base_url), settings=service.Settings(system_instruction=INSTRUCTIONS))


PIPECAT_WS = Contestant("Pipecat WebSocket", "pipecat-ws", "websocket", False, _pipecat_ws)
PIPECAT_HTTP = Contestant("Pipecat HTTP", "pipecat-http", "http", False, _pipecat_http)
OUR_WS = Contestant("ours WebSocket", "ours-ws", "websocket", True, _our_ws)
OUR_HTTP = Contestant("ours HTTP", "ours-http", "http", True, _our_http)

WEBSOCKETS = (PIPECAT_WS, OUR_WS)
HTTPS = (PIPECAT_HTTP, OUR_HTTP)
ALL = (PIPECAT_WS, PIPECAT_HTTP, OUR_WS, OUR_HTTP)


def by_short(short: str) -> Contestant:
    return next(contestant for contestant in ALL if contestant.short == short)


class _Prepared(FrameProcessor):
    """Answers a context frame with prepared texts."""

    texts: list[str]

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        for text in self.texts:
            await self.push_frame(LLMTextFrame(text))
        await self.push_frame(LLMFullResponseEndFrame())


class NoService(_Prepared):
    """What a pipeline costs by itself."""

    def __init__(self, texts: Iterable[str]) -> None:
        super().__init__(name="no service")
        self.texts = list(texts)


class IdleService(_Prepared, LLMService[Any]):
    """What a pipeline costs with a service that does nothing: Pipecat's base class and no more."""

    def __init__(self, texts: Iterable[str]) -> None:
        super().__init__(settings=default_settings())
        self.texts = list(texts)
