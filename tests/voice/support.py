"""What was heard in a call, as words."""

from __future__ import annotations

import asyncio
import re
from difflib import SequenceMatcher

from examples.voice.recognizer import recognize
from num2words import num2words


async def understood(pcm: bytes) -> str:
    """What a recogniser makes of what was heard."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, recognize, pcm)


def words(text: str) -> list[str]:
    """The words of a text as they are spoken: numbers in words, no punctuation, lower case."""
    spoken = re.sub(r"\d+", lambda number: str(num2words(int(number[0]))), text.lower())
    return re.findall(r"[a-z']+", spoken)


def likeness(heard: str, text: str) -> float:
    """How much of a text was heard in its order, and nothing else: from 0 to 1."""
    return SequenceMatcher(None, words(heard), words(text), autojunk=False).ratio()
