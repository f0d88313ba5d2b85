"""What users have told of themselves and of things, and ask for later."""

from __future__ import annotations

import re
from collections.abc import Iterable

_TOLD = re.compile(
    r"\b(my|the)\s+((?:[a-z]+\s+){0,2}[a-z]+)\s+is\s+(?:called\s+)?"
    r"((?-i:[\w-]*\w(?:\s+[A-Z][\w-]*\w)*))",
    re.IGNORECASE,
)
_ASKS = re.compile(r"\b(?:what|which|repeat|tell|say|recall|remember|remind|know)\b", re.IGNORECASE)
_QUESTION = re.compile(r"^\s*(?:what|which|who|where|when|how|is|do|can)\b|\?\s*$", re.IGNORECASE)


def told(text: str) -> tuple[str, str, str] | None:
    """What a text tells, if it is no question.

    Args:
        text: ``My name is Ada.``

    Returns:
        Whose it is (``my`` or ``the``), what it is, and its value; None if it tells nothing.
    """
    if _QUESTION.search(text) or not (found := _TOLD.findall(text)):
        return None
    owner, thing, value = found[-1]
    return owner.lower(), thing.lower(), value


def recalled(question: str, before: Iterable[str]) -> str | None:
    """The answer to a question about something that was told before.

    Args:
        question: What is asked: ``What is my name?``
        before: What the user had said, newest first: ``My name is Ada.``

    Returns:
        ``Your name is Ada.``; None if nothing is asked, or nobody told.
    """
    if not _ASKS.search(question):
        return None
    for text in before:
        for owner, thing, value in reversed(_TOLD.findall(text)):
            if re.search(rf"\b{owner}\s+{thing}\b", question, re.IGNORECASE):
                whose = "Your" if owner.lower() == "my" else "The"
                return f"{whose} {thing} is {value}."
    return None
