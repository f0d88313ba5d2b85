"""A server as a capabilities file says that it is, which ``pipecat-responses doctor`` writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from pipecat_responses.sandbox.config import KNOWN_MODELS, Kept, SandboxConfig

FORMAT = 1


class RefusedField(msgspec.Struct):
    """A field of which one value is refused, or that one model does not take.

    Attributes:
        path: The field.
        value: The value, as JSON; in a list, one entry.
        model: The model.
    """

    path: str
    value: str | None = None
    model: str | None = None


class Capabilities(msgspec.Struct):
    """What a capabilities file says of a server; None is not known.

    Attributes:
        format: The format's number.
        model: The model that was asked.
        websocket: Whether there are WebSockets.
        lanes: Whether ``stream_id`` makes lanes.
        forks: Whether another lane's response can be continued.
        warm_up: Whether ``generate: false`` prepares.
        empty_warm_up: Whether it does so without any item.
        cancel: Whether ``response.cancel`` is taken.
        cancel_stops: Whether it stops the response.
        continuation: Whether ``previous_response_id`` works on the same connection.
        instructions_when_continuing: Whether ``instructions`` may stand beside it.
        stored_continuation: Whether ``store: true`` makes responses that can be continued.
        steering: Whether ``response.steer`` is taken.
        encrypted_reasoning: Whether reasoning is given in encrypted form.
        remembers_incomplete: Whether a response that ended incomplete can be continued.
        remembers_interrupted: Whether one that was cancelled can be.
        refused_fields: Fields that are refused, as dotted paths.
    """

    format: int
    model: str | None = None
    websocket: bool | None = None
    lanes: bool | None = None
    forks: bool | None = None
    warm_up: bool | None = None
    empty_warm_up: bool | None = None
    cancel: bool | None = None
    cancel_stops: bool | None = None
    continuation: bool | None = None
    instructions_when_continuing: bool | None = None
    stored_continuation: bool | None = None
    steering: bool | None = None
    encrypted_reasoning: bool | None = None
    remembers_incomplete: bool | None = None
    remembers_interrupted: bool | None = None
    refused_fields: list[str | RefusedField] | None = None


def config_of(source: str | os.PathLike[str] | Mapping[str, Any]) -> SandboxConfig:
    """The configuration of a server with the capabilities of a file; what it does not say is ours.

    Args:
        source: The file, or what it says.

    Raises:
        ValueError: When it is no capabilities file, or one of another format.
    """
    return _config(_read(source))


def _read(source: str | os.PathLike[str] | Mapping[str, Any]) -> Capabilities:
    where = "The mapping" if isinstance(source, Mapping) else os.fspath(source)
    try:
        if isinstance(source, Mapping):
            told = msgspec.convert(source, Capabilities)
        else:
            told = msgspec.json.decode(Path(source).read_bytes(), type=Capabilities)
    except OSError as error:
        raise ValueError(f"{where} cannot be read: {error.strerror or error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{where} is no capabilities file, as pipecat-responses doctor --write makes one: "
            f"{error}"
        ) from error
    if told.format != FORMAT:
        raise ValueError(
            f"{where} has the format {told.format}, and this version reads format {FORMAT}: let "
            "pipecat-responses doctor write it anew"
        )
    return told


def _config(told: Capabilities) -> SandboxConfig:
    refused = filter(None, map(_path, told.refused_fields or ()))
    config = SandboxConfig(refused_fields=tuple(refused))
    if told.websocket is False:
        config.websocket_status = 404
    if told.lanes is False:
        config.lanes = "rejected"
    if told.forks is False:
        config.forks = "fail"
    if told.warm_up is False:
        config.generate_false = "rejected"
    elif told.empty_warm_up is False:
        config.generate_false = "with_input"
    if told.cancel is False:
        config.cancel = "rejected"
    elif told.cancel_stops:
        config.cancel = "honoured"
    if told.instructions_when_continuing is False:
        config.instructions_when_continuing = "rejected"
    if told.stored_continuation is False:
        config.storage = "ignored"
    config.steering = told.steering is not False
    if told.encrypted_reasoning is False:
        config.encrypted_reasoning = "ignored"
    config.memory_after_failure = _kept(told.remembers_incomplete)
    config.memory_after_cancel = _kept(told.remembers_interrupted)
    if told.continuation is False:
        config.lane_memory = False
        if not told.stored_continuation:
            config.refused_fields += ("previous_response_id",)
    if told.model is not None and told.model not in KNOWN_MODELS:
        config.models = {*KNOWN_MODELS, told.model}
        config.model_limits = "ignored"
    return config


def _path(refused: str | RefusedField) -> str | None:
    """The way to what is refused; None for what the sandbox cannot refuse by itself."""
    if isinstance(refused, str):
        return refused
    if refused.path == "include" and refused.value is not None:
        return f"include.{msgspec.json.decode(refused.value)}"
    return None if refused.value is not None or refused.model is not None else refused.path


def _kept(remembers: bool | None) -> Kept:
    return "remembers_new" if remembers else "forgets"
