"""What goes by way of the OpenAI SDK: its client, and sessions over HTTP.

To import the SDK takes half as long as to import all the rest, Pipecat included. So this module is
imported by the first service that is created, and not by the modules that define the services.
"""

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI

from pipecat_responses.protocol.capabilities import ServerCapabilities
from pipecat_responses.protocol.output import Coverage
from pipecat_responses.session.http import HttpSession
from pipecat_responses.session.limits import ConnectionLimits
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.records import Purpose
from pipecat_responses.session.stats import SessionStats
from pipecat_responses.session.stored import StoredResponses
from pipecat_responses.transport.http import HttpOptions
from pipecat_responses.transport.http_client import create_http_client
from pipecat_responses.transport.proxies import Proxies
from pipecat_responses.transport.tls import TlsSettings
from pipecat_responses.transport.trace import Trace

__all__ = ["http_session", "new_client"]


def new_client(tls: TlsSettings, proxies: Proxies, **arguments: Any) -> AsyncOpenAI:
    """The SDK's client, with our own way of opening connections below it.

    Args:
        tls: TLS contexts for its connections.
        proxies: The ways to the server.
        **arguments: The SDK's own.
    """
    return AsyncOpenAI(**arguments, http_client=create_http_client(tls, proxies))


def http_session(
    client: AsyncOpenAI,
    *,
    limits: ConnectionLimits,
    max_message_bytes: int,
    join_deltas: bool,
    stats: SessionStats | None,
    stored: StoredResponses | None,
    coverage: str,
    capabilities: ServerCapabilities,
    log: SessionLog,
    trace: Trace,
    purpose: Purpose,
) -> HttpSession:
    """A session over HTTP."""
    return HttpSession(
        client,
        join_deltas=join_deltas,
        stats=stats,
        stored=stored,
        coverage=Coverage(coverage),
        capabilities=capabilities,
        log=log,
        trace=trace,
        purpose=purpose,
        options=HttpOptions(open_timeout=limits.open_secs, max_event_bytes=max_message_bytes),
    )
