"""See what happens in calls: a page on this machine, and files of sessions to look at later."""

from __future__ import annotations

from pipecat_responses.inspector.inspector import Inspector
from pipecat_responses.inspector.store import InspectorLimits

__all__ = ["Inspector", "InspectorLimits"]
