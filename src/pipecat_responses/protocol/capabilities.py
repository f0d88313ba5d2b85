"""What a server can do, as far as it has shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Capability(StrEnum):
    """Something that not every server can do; the value is the attribute that holds it."""

    LANES = "lanes"
    CANCEL = "cancel"
    WARM_UP = "warm_up"


@dataclass(slots=True)
class ServerCapabilities:
    """What a server has shown to be able to do.

    Attributes:
        lanes: Whether it has lanes; None until it has answered a request that named one.
        cancel: Whether ``response.cancel`` may be sent.
        warm_up: Whether ``generate: false`` may be sent.
    """

    lanes: bool | None = None
    cancel: bool = True
    warm_up: bool = True

    def learn(self, capability: Capability, available: bool) -> None:
        """Notes what the server has shown."""
        setattr(self, capability.value, available)
