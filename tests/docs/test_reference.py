"""The tables of arguments, settings, events and counters have what there is, and no more."""

from __future__ import annotations

import re
from dataclasses import fields
from inspect import Parameter, signature

from pipecat.processors.filters.identity_filter import IdentityFilter

from pipecat_responses import (
    OpenAIResponsesHttpLLMService,
    OpenAIResponsesLLMService,
    OpenAIResponsesLLMSettings,
    SessionStats,
)
from tests.docs.commands import ROOT


def rows(page: str, heading: str) -> dict[str, str]:
    """The names in the first cells of the table below a heading, each with its cell."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    table = re.split(rf"^#+ {heading}$", text, flags=re.MULTILINE)[1].split("\n#")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    return {name: cell for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def arguments(service: type, package: str) -> set[str]:
    """The names of what the constructors of a package's classes among its bases take."""
    return {
        name
        for base in service.__mro__
        if base.__module__.startswith(package) and "__init__" in vars(base)
        for name, parameter in signature(base).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY
    }


def test_arguments() -> None:
    told = rows("services.md", "Arguments")
    websocket = arguments(OpenAIResponsesLLMService, "pipecat_responses")
    http = arguments(OpenAIResponsesHttpLLMService, "pipecat_responses")
    assert websocket | http <= {*told}
    assert {*told} <= websocket | http | arguments(OpenAIResponsesLLMService, "pipecat")
    assert {name for name, cell in told.items() if "(WS)" in cell} == {*told} - http


def test_settings() -> None:
    told = rows("settings.md", "Settings")
    assert {*told} == {field.name for field in fields(OpenAIResponsesLLMSettings)}


async def test_events() -> None:
    told = rows("events.md", "Events")
    ours, everybodys = OpenAIResponsesLLMService(api_key="any"), IdentityFilter()
    known = {*ours._event_handlers}
    assert {*told} <= known
    assert known - {*told} <= {*everybodys._event_handlers}


def test_counters() -> None:
    told = rows("events.md", "Methods and counters")
    assert {*told} == {field.name for field in fields(SessionStats)}
