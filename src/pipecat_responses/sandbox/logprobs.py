"""Log probabilities of tokens: made up, and the same for the same token every time."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

_OTHERS = (" the", " a", " and", ".", ",", " to", " of", " in", " is", " it", " I", " you", " not",
           " for", " on", " that", " with", "!", "?", " so", " or")  # fmt: skip
_INCLUDED = "message.output_text.logprobs"


def wanted(settings: Mapping[str, Any]) -> bool:
    """Whether a request asks for log probabilities: by ``include``, or by ``top_logprobs``."""
    return _INCLUDED in (settings.get("include") or ()) or bool(settings.get("top_logprobs"))


def logprob(token: str, top: int, value: float | None = None) -> dict[str, Any]:
    """A token's entry among the log probabilities of a text.

    Args:
        token: The token.
        top: How many of the likeliest tokens to name with it; the token itself is one of them.
        value: Its log probability; None makes one up.

    Returns:
        The entry as a content part has it.
    """
    if value is None:
        value = -(zlib.crc32(token.encode()) % 1000) / 2000
    own = _entry(token, value)
    # What is left is shared out among the others, each less likely than the one before.
    left = max(1 - math.exp(value), 1e-9)
    others = [other for other in _OTHERS if other != token][: max(0, top - 1)]
    tops = [own]
    for rank, other in enumerate(others, start=1):
        tops.append(_entry(other, round(math.log(left) - math.log(2) * rank, 6)))
    tops.sort(key=lambda entry: -entry["logprob"])
    return {**own, "top_logprobs": tops[:top] if top else []}


def streamed(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as events have it: without the tokens' bytes."""
    plain = {key: value for key, value in entry.items() if key != "bytes"}
    if "top_logprobs" in plain:
        plain["top_logprobs"] = [streamed(each) for each in plain["top_logprobs"]]
    return plain


def _entry(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "bytes": list(token.encode()), "logprob": value}
