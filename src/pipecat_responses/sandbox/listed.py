"""Input items as the API gives them back: each with an id, a status, and its content in parts."""

from __future__ import annotations

import uuid
from typing import Any

from pipecat_responses.sandbox.composer import new_id
from pipecat_responses.sandbox.transcript import Item, Transcript

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
    "compaction": "cmp",
}
_WITH_STATUS = (
    "message",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
)


def listed(item: Item, number: str | None = None) -> Item:
    """An item as the API gives it back.

    Args:
        item: The item as it was sent, or as it was answered.
        number: What its id shall be made of, if it has none; None makes a fresh one.

    Returns:
        A copy in the long form.
    """
    kind = item.get("type") or "message"
    prefix = _PREFIXES.get(kind, kind.removesuffix("_call"))
    whole: Item = {"type": kind, **{name: value for name, value in item.items() if name != "type"}}
    if not whole.get("id"):
        whole["id"] = new_id(prefix) if number is None else f"{prefix}_{number}"
    if kind in _WITH_STATUS and not whole.get("status"):
        whole["status"] = "completed"
    if kind == "message":
        whole["content"] = _parts(whole["content"], whole["role"])
    return whole


def listed_input(transcript: Transcript, *, only_added: bool = False) -> list[Item]:
    """All items of a transcript as the API gives them back, oldest first.

    An item that was sent without an id gets one that depends on its place and on what stands
    before it, so it is the same whenever it is asked for, and in every response that continues.

    Args:
        transcript: What the model sees.
        only_added: Whether to leave out what the transcript continues from.
    """
    marked = transcript.marked(only_added=only_added)
    return [listed(item, uuid.UUID(int=chain % (1 << 128)).hex) for chain, item in marked]


def _parts(content: Any, role: str) -> list[dict[str, Any]]:
    """A message's content in its long form."""
    if isinstance(content, str):
        kind = "output_text" if role == "assistant" else "input_text"
        content = [{"type": kind, "text": content}]
    return [_part(part) for part in content]


def _part(part: dict[str, Any]) -> dict[str, Any]:
    match part["type"]:
        case "output_text":
            return {"annotations": [], "logprobs": [], **part}
        case "input_image":
            return {"detail": "auto", **part}
        case _:
            return part
