"""What a server can do, as far as it has shown or as one was told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from pipecat_responses.protocol.names import ErrorName, named
from pipecat_responses.protocol.options import RefusedOption

_FORMAT = 1


class Capability(StrEnum):
    """Something that not every server can do; the value is the attribute that holds it."""

    WEBSOCKET = "websocket"
    LANES = "lanes"
    FORKS = "forks"
    CANCEL = "cancel"
    WARM_UP = "warm_up"
    EMPTY_WARM_UP = "empty_warm_up"
    CONTINUATION = "continuation"
    INSTRUCTIONS_WHEN_CONTINUING = "instructions_when_continuing"
    STORED_CONTINUATION = "stored_continuation"
    STEERING = "steering"


@dataclass(slots=True)
class ServerCapabilities:
    """What is known of a server. None is what is not known, and then it is tried.

    Services of one process that talk to the same address share one, so they learn together. It can
    be given to a service, written to a file and read from one::

        llm.capabilities.save("server.json")
        OpenAIResponsesLLMService(capabilities=ServerCapabilities.load("server.json"))

    Attributes:
        websocket: Whether it takes WebSockets.
        lanes: Whether it has lanes (``stream_id``).
        forks: Whether a lane can continue from what another one remembers.
        cancel: Whether ``response.cancel`` may be sent.
        warm_up: Whether ``generate: false`` may be sent.
        empty_warm_up: Whether that may be sent without any item: instructions and tools alone.
        continuation: Whether ``previous_response_id`` continues from what the connection
            remembers.
        instructions_when_continuing: Whether ``instructions`` may stand beside it. Where they may
            not, they are sent as the conversation's first message.
        stored_continuation: Whether it stores responses, to be continued from anywhere.
        steering: Whether ``response.steer`` may be sent.
        refused: Optional parts of a request that it does not take.
        why: For each of the above that is known, in whose words.
    """

    websocket: bool | None = None
    lanes: bool | None = None
    forks: bool | None = None
    cancel: bool | None = None
    warm_up: bool | None = None
    empty_warm_up: bool | None = None
    continuation: bool | None = None
    instructions_when_continuing: bool | None = None
    stored_continuation: bool | None = None
    steering: bool | None = None
    refused: tuple[RefusedOption, ...] = ()
    why: dict[str, str] = field(default_factory=dict)

    @property
    def may_continue_stored(self) -> bool:
        """Whether continuing from a stored response is worth a try: nothing spoke against it."""
        return self.continuation is not False and self.stored_continuation is not False

    def learn(self, capability: Capability, available: bool, why: str = "") -> bool:
        """Notes what the server has shown.

        Args:
            capability: What it has shown to have, or not to have.
            available: Which of the two.
            why: What it said or did.

        Returns:
            Whether that is news.
        """
        news: bool = getattr(self, capability.value) is not available
        setattr(self, capability.value, available)
        if news and why:
            self.why[capability.value] = why
        return news

    def refuse(self, option: RefusedOption) -> bool:
        """Notes an optional part of requests that the server does not take.

        Args:
            option: The part.

        Returns:
            Whether that is news.
        """
        known = [(each.path, each.value, each.model) for each in self.refused]
        news = (option.path, option.value, option.model) not in known
        if news:
            self.refused = (*self.refused, option)
        return news

    def reset(self) -> None:
        """Forgets everything: what is not known is tried again."""
        for each, value in asdict(ServerCapabilities()).items():
            setattr(self, each, value)

    def export(self) -> dict[str, Any]:
        """What is known, fit for JSON: the form that ``load`` reads and ``doctor`` writes."""
        known = {each.value: getattr(self, each.value) for each in Capability}
        return {
            "format": _FORMAT,
            **{name: value for name, value in known.items() if value is not None},
            "refused_fields": [_saved(each) for each in self.refused],
            "why": {**{each.path: each.why for each in self.refused if each.why}, **self.why},
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes what is known to a file.

        Args:
            path: The file.
        """
        text = msgspec.json.format(msgspec.json.encode(self.export()))
        Path(path).write_bytes(text + b"\n")

    @classmethod
    def load(cls, source: str | os.PathLike[str] | Mapping[str, Any]) -> ServerCapabilities:
        """Reads what ``save``, ``export`` or ``pipecat-responses doctor`` has written.

        Args:
            source: A file, or what stands in one.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If it holds anything else.
        """
        saved = _read(source)
        known = {each.value: saved.get(each.value) for each in Capability}
        for name, value in known.items():
            if value is not None and not isinstance(value, bool):
                raise named(
                    ValueError(f"{name} must be true, false or null, not {value!r}"),
                    ErrorName.CAPABILITIES_FILE,
                )
        said = saved.get("why")
        why = {str(name): str(text) for name, text in said.items()} if _is_object(said) else {}
        refused = [_option(each, why) for each in saved.get("refused_fields") or ()]
        if saved.get("encrypted_reasoning") is False:
            reason = why.get("encrypted_reasoning", "")
            refused.append(RefusedOption("include", reason, _ENCRYPTED))
        return cls(
            **known,
            refused=tuple(refused),
            why={name: text for name, text in why.items() if name in known},
        )


def _read(source: str | os.PathLike[str] | Mapping[str, Any]) -> Mapping[str, Any]:
    saved: Any = source
    if not isinstance(source, Mapping):
        try:
            saved = msgspec.json.decode(Path(source).read_bytes())
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise named(
                ValueError(f"{source} holds no capabilities: {error}"), ErrorName.CAPABILITIES_FILE
            ) from None
    if not _is_object(saved) or saved.get("format") != _FORMAT:
        raise named(
            ValueError(
                "These are no capabilities that `pipecat-responses doctor` or save() of this "
                "version has written"
            ),
            ErrorName.CAPABILITIES_FILE,
        )
    return saved


_ENCRYPTED = '"reasoning.encrypted_content"'
"""The entry of ``include`` that asks for encrypted reasoning, as JSON."""


def _is_object(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _saved(option: RefusedOption) -> str | dict[str, str]:
    if option.value is None and option.model is None:
        return option.path
    return {
        name: part
        for name, part in (
            ("path", option.path),
            ("value", option.value),
            ("model", option.model),
        )
        if part is not None
    }


def _option(saved: Any, why: Mapping[str, str]) -> RefusedOption:
    if isinstance(saved, str):
        saved = {"path": saved}
    if not _is_object(saved) or not all(isinstance(part, str) for part in saved.values()):
        raise named(
            ValueError(f"refused_fields must name fields, not {saved!r}"),
            ErrorName.CAPABILITIES_FILE,
        )
    path = saved.get("path")
    if path is None:
        raise named(
            ValueError(f"refused_fields must name fields, not {saved!r}"),
            ErrorName.CAPABILITIES_FILE,
        )
    return RefusedOption(path, why.get(path, ""), saved.get("value"), saved.get("model"))
