"""Somebody to talk to: what the sandbox says to people, where ``SandboxConfig.persona`` is set.

What people say arrives as a recogniser writes it, without punctuation and capitals, with numbers in
words, and now and then with a word that only sounds right. So what is meant is found by keywords,
and those that are long enough count with a letter or two amiss. What is answered is written for the
ear: whole sentences, numbers in words, no markup. The same conversation gets the same answers; only
the clock is looked at.
"""

from __future__ import annotations

import json
import re
from calendar import day_name, month_name
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import islice
from random import Random
from typing import Any

from pipecat_responses.sandbox.answers import Citation, HostedCall, ModelInput, Part, Text
from pipecat_responses.sandbox.calculation import calculated
from pipecat_responses.sandbox.recall import recalled, told
from pipecat_responses.sandbox.spoken_numbers import number_at, spelled, words_of
from pipecat_responses.sandbox.story import CHAPTERS, next_part
from pipecat_responses.sandbox.transcript import item_text

_LOOKING = ("Let me look that up.", "One moment, I will look that up.", "Let me see what I find.")
_GREETINGS = (
    "Hello! How can I help you?",
    "Hello! What can I do for you?",
    "Hi there! What would you like to know?",
)
_FINE = ("I am fine, thank you. And you?", "Very well, thank you. How are you?")
_LOST = (
    "I am not sure what to say to that.",
    "I am afraid that I do not know.",
    "I do not know much about that.",
)
_ABILITIES = (
    "I can count, calculate, tell you the time and the date, remember what you tell me, look "
    "things up, and tell you a long story."
)
_MAX_COUNT = 1000
_FUZZY_LENGTH = 5
_FUZZY_RATIO = 0.75

Say = Callable[[ModelInput, list[str]], str | None]


def spoken_answer(given: ModelInput) -> str:
    """What is said to the newest message of the user.

    Args:
        given: What the model sees.

    Returns:
        One or more sentences.
    """
    text = given.last_user_text
    if not (text or "").strip():
        return _one_of(_GREETINGS, given)
    words = words_of(text or "")
    # What was meant exactly goes before what only sounds like it: "continue" is not "counting".
    for same in (_equal, _alike):
        for keywords, say in _INTENTS:
            if any(_has(words, each, same) for each in keywords) and (said := say(given, words)):
                return said
    return _anything(given, words)


def read_out(result: str) -> str:
    """What a tool has returned, as a sentence.

    Args:
        result: Text, or JSON.

    Returns:
        The values of an object with their names; anything else as it is.
    """
    try:
        value = json.loads(result)
    except ValueError:
        value = result
    said = _aloud(value).strip()
    if not said:
        return "Done."
    return said[0].upper() + said[1:] + ("" if said[-1] in ".!?" else ".")


def with_commentary(given: ModelInput, parts: Sequence[Part]) -> tuple[Part, ...]:
    """What is said before and after a search that the server makes by itself.

    Args:
        given: What the model sees.
        parts: The search and what comes of it.

    Returns:
        The same with a commentary before it, and with the answer written for the ear.
    """
    first = parts[0] if parts else None
    if not isinstance(first, HostedCall) or first.item["type"] != "web_search_call":
        return tuple(parts)
    topic = str(first.item["action"]["query"])
    said = (
        f"I have found something about {topic}. There is a page in the Example Encyclopedia, and "
        "the Example News have reported on it this week."
    )
    cites = [part.annotations for part in parts if isinstance(part, Text)]
    quotes = ("Example Encyclopedia", "Example News")
    notes = [
        Citation(quote, each.url, each.title)
        for each, quote in zip(*cites, quotes, strict=False)
        if isinstance(each, Citation)
    ]
    return (
        Text(_one_of(_LOOKING, given), phase="commentary"),
        first,
        Text(said, phase="final_answer", annotations=notes),
    )


# -- what is meant --------------------------------------------------------------------------------


def _has(words: Sequence[str], keywords: str, same: Callable[[str, str], bool]) -> bool:
    """Whether words follow each other as the keywords do, one or two others between them."""
    wanted = keywords.split()
    at = -1
    for keyword in wanted:
        begin = 0 if at < 0 else at + 1
        end = len(words) if at < 0 else min(len(words), begin + 3)
        found = [each for each in range(begin, end) if same(words[each], keyword)]
        if not found:
            return False
        at = found[0]
    return True


def _equal(word: str, keyword: str) -> bool:
    return word == keyword


def _alike(word: str, keyword: str) -> bool:
    if word == keyword:
        return True
    if min(len(word), len(keyword)) < _FUZZY_LENGTH:
        return False
    return SequenceMatcher(None, word, keyword).ratio() >= _FUZZY_RATIO


def _count(given: ModelInput, words: list[str]) -> str | None:
    numbers: list[int] = []
    for at, word in enumerate(words):
        if word in ("to", "from", "two", "until") and at + 1 < len(words):
            value, after = number_at(words, at + 1)
            if after > at + 1:
                numbers.append(int(min(value, _MAX_COUNT)))
    top = numbers[-1] if numbers else 10
    first = numbers[0] if len(numbers) > 1 else 1
    step = 1 if top >= first else -1
    said = ", ".join(spelled(each) for each in range(first, top + step, step))
    return f"{said[0].upper()}{said[1:]}."


def _time(given: ModelInput, words: list[str]) -> str:
    now = given.now
    hour = spelled(now.hour % 12 or 12)
    half = "in the morning" if now.hour < 12 else "in the afternoon"
    half = "in the evening" if now.hour >= 18 else half
    if not now.minute:
        return f"It is {hour} o'clock {half}."
    minute = spelled(now.minute) if now.minute > 9 else f"oh {spelled(now.minute)}"
    return f"It is {hour} {minute} {half}."


def _date(given: ModelInput, words: list[str]) -> str:
    now = given.now
    day = spelled(now.day, ordinal=True)
    return f"Today is {day_name[now.weekday()]}, the {day} of {month_name[now.month]}."


def _story(given: ModelInput, words: list[str]) -> str:
    return " ".join(CHAPTERS[0])


def _goes_on(given: ModelInput, words: list[str]) -> str | None:
    return next_part(_said(given, "assistant"))


def _recall(given: ModelInput, words: list[str]) -> str | None:
    before = list(islice(_said(given, "user"), 1, None))
    return recalled(given.last_user_text or "", before)


def _told_now(given: ModelInput, words: list[str]) -> str | None:
    found = told(given.last_user_text or "")
    if found is None:
        return None
    owner, thing, value = found
    whose = "your" if owner == "my" else "the"
    hello = f"Nice to meet you, {value.capitalize()}. " if thing == "name" else ""
    shown = value.capitalize() if thing == "name" else value
    return f"{hello}I will remember that {whose} {thing} is {shown}."


def _again(given: ModelInput, words: list[str]) -> str:
    return next(_said(given, "assistant"), "I have not said anything yet.")


def _calculation(given: ModelInput, words: list[str]) -> str | None:
    return calculated(given.last_user_text or "")


def _search(given: ModelInput, words: list[str]) -> str:
    return "I am sorry, I have nothing here to look that up with."


def _one(texts: Sequence[str]) -> Say:
    return lambda given, words: _one_of(texts, given)


def _anything(given: ModelInput, words: list[str]) -> str:
    if said := _calculation(given, words):
        return said
    heard = (given.last_user_text or "").strip().rstrip(".!?")
    return f"You said: {heard}. {_one_of(_LOST, given)} {_ABILITIES}"


_INTENTS: tuple[tuple[tuple[str, ...], Say], ...] = (
    (("what", "which", "tell", "remember", "remind", "say", "repeat"), _recall),
    (("my is", "the is", "remember"), _told_now),
    (("count", "counting"), _count),
    (("what", "how much", "calculate", "times", "plus", "minus", "divided"), _calculation),
    (("what time", "the time", "what's time", "clock"), _time),
    (("what day", "which day", "the date", "what date", "today"), _date),
    (("go on", "continue", "what happened", "and then", "carry on", "next chapter"), _goes_on),
    (("story", "tale"), _story),
    (("repeat", "say again", "pardon", "what did say"), _again),
    (("look up", "search", "find out"), _search),
    (
        ("who are you", "your name", "introduce", "what are you"),
        _one((f"I am the voice of the sandbox. {_ABILITIES}",)),
    ),
    (("what can you", "help me", "help"), _one((_ABILITIES,))),
    (("how are you",), _one(_FINE)),
    (
        ("stop", "enough", "wait", "quiet", "never mind", "hold on"),
        _one(("All right.", "Of course.", "As you like.")),
    ),
    (
        ("thank", "thanks"),
        _one(("You are welcome.", "My pleasure.")),
    ),
    (("goodbye", "bye", "good night"), _one(("Goodbye! It was nice to talk to you.",))),
    (("hello", "hi", "good morning", "good evening", "hey"), _one(_GREETINGS)),
)
"""Keywords, and what is said to them; the first that fits and has something to say is taken."""


# -- what is said ---------------------------------------------------------------------------------


def _said(given: ModelInput, role: str) -> Iterator[str]:
    """What one side has said, newest first."""
    return (item_text(item) for item in given.newest_first() if item.get("role") == role)


def _one_of(texts: Sequence[str], given: ModelInput) -> str:
    """One of several ways to say it: the first, and others as the seed has it."""
    if not given.seed:
        return texts[0]
    return Random(f"{given.seed} {given.count}").choice(texts)


def _aloud(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(f"{_name(key)} is {_aloud(each)}" for key, each in value.items())
        case list():
            return ", ".join(map(_aloud, value))
        case bool():
            return "yes" if value else "no"
        case None:
            return "nothing"
        case int() | float():
            return spelled(value)
        case _:
            return str(value)


def _name(key: object) -> str:
    return re.sub(r"[_-]+", " ", str(key))
