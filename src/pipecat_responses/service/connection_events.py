"""What happens to a service's connections, as Pipecat's events, errors and metrics."""

from __future__ import annotations

from typing import Protocol, assert_never

from pipecat.frames.frames import Frame, MetricsFrame

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Recovery
from pipecat_responses.service.frame_writer import AbandonedUsageMetricsData, token_usage
from pipecat_responses.service.secrets import Secrets
from pipecat_responses.service.settings import OpenAIResponsesLLMSettings
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.notices import (
    AbandonedUsage,
    Connected,
    ConnectFailed,
    Disconnected,
    Notice,
    TransportChanged,
    Unprepared,
)

__all__ = ["Notice", "tell"]


class Reporter(Protocol):
    """What is needed of a service to report through it."""

    _settings: OpenAIResponsesLLMSettings
    _log: SessionLog
    _secrets: Secrets

    @property
    def name(self) -> str:
        """The service's name."""

    @property
    def usage_metrics_enabled(self) -> bool:
        """Whether tokens are to be reported."""

    async def push_frame(self, frame: Frame) -> None:
        """Pushes a frame downstream."""

    async def _back_in_reach(self) -> None:
        """The server can be reached again, if it could not."""

    async def _call_event_handler(self, event_name: str, *args: object) -> None:
        """Calls the application's handlers of an event."""

    async def _report(self, error: ResponsesError) -> None:
        """Reports a failure, once."""

    async def _lay_anchor(self, *, written: bool) -> None:
        """Puts a checkpoint in place where the next turn would carry too much."""


async def tell(service: Reporter, notice: Notice) -> None:
    """Tells an application what has happened.

    Args:
        service: The service it happened to.
        notice: What has happened.
    """
    match notice:
        case Connected():
            service._log.debug("connected")
            await service._back_in_reach()
            await service._call_event_handler("on_connected")
        case Disconnected():
            service._log.debug("disconnected ({})", notice.error)
            await service._call_event_handler("on_disconnected")
        case ConnectFailed():
            await _connect_failed(service, notice)
        case TransportChanged():
            await _transport_changed(service, notice)
        case Unprepared():
            # What was said last may not be written down yet.
            await service._lay_anchor(written=False)
        case AbandonedUsage():
            await _count_abandoned(service, notice)
        case _:
            assert_never(notice)


async def _connect_failed(service: Reporter, notice: ConnectFailed) -> None:
    error = notice.error.rewritten(mask=service._secrets.mask)
    message = str(error)
    await service._call_event_handler("on_connection_error", message)
    if notice.waited_for:
        # The turn that waits for it will report it.
        return
    if error.recovery is Recovery.PERMANENT:
        await service._report(error)
    else:
        service._log.warning("{}", message)


async def _transport_changed(service: Reporter, notice: TransportChanged) -> None:
    await service._call_event_handler("on_transport_changed", notice.transport)
    if notice.error is None:
        service._log.info("a WebSocket comes through again")
    else:
        message = str(notice.error.rewritten(mask=service._secrets.mask))
        service._log.warning("no WebSocket comes through, turns go over HTTP: {}", message)
        await service._call_event_handler("on_connection_error", message)


async def _count_abandoned(service: Reporter, notice: AbandonedUsage) -> None:
    if not service.usage_metrics_enabled:
        return
    model = service._settings.model
    data = AbandonedUsageMetricsData(
        processor=service.name,
        model=model if isinstance(model, str) else None,
        value=token_usage(notice.usage),
        turn=notice.turn,
        response_id=notice.response_id,
    )
    await service.push_frame(MetricsFrame(data=[data]))
