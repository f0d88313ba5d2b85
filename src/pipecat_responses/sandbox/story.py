"""A story in many sentences, and how much of it has been told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

STORY = """\
Once upon a time, a lighthouse keeper named Ada lived on an island at the edge of the map. \
Every evening she climbed one hundred and twelve steps and lit the great lamp. \
One night the fog was so thick that the light came back to her like an echo. \
She heard a bell, far out, where no ship should have been. \
So she took the small boat and a lantern, and rowed toward the sound. \
The sea was flat, and the oars left rings that did not fade. \
In the middle of the fog she found a ship without a crew, with its table set for dinner. \
On the plate of the captain lay a letter, and the letter had her name on it. \
It said that the lamp had once guided this ship home, and that the ship had come to say thanks. \
Ada rang the bell three times, as sailors do for a friend. \
When the fog lifted in the morning, the ship was gone, and the rings on the water with it. \
But the bell hung in the lighthouse from then on, and nobody ever asked how it had got there."""

_SECOND = """\
Many winters later, a boy named Tom came to the island to learn how to keep the lamp. \
He was afraid of the stairs, of the wind, and most of all of the silent bell. \
Ada gave him a cloth and told him to polish it every Sunday. \
The first time, he saw his own face in the metal, and behind it a ship. \
He turned around, but there was only the window and the sea. \
On the second Sunday the ship was closer, and someone stood at its rail and waved. \
Tom waved back, because his mother had taught him to be polite. \
That night a storm broke the great lamp, and all the coast was dark. \
Far out, the fishing boats called to each other and could not find the harbor. \
Tom was the one who ran up the stairs, and he rang the bell until his arms gave out. \
And one by one the boats came home, and each of them told of a ship that had shown the way."""

_THIRD = """\
When Ada was old, she gave Tom the key and took the small boat for a last time. \
The evening was clear, and the sea as flat as a table. \
She rowed until the lighthouse was no more than a spark. \
Then she shipped the oars and listened. \
From somewhere ahead came a bell, three times, as sailors ring for a friend. \
Tom saw two lights that night where there had always been one. \
He wrote both of them down in the book, and he never wrote a word about it again. \
But on every Sunday he polishes the bell, and whoever looks closely sees a ship in it, with its \
table set for two."""

_SENTENCES = re.compile(r"(?<=[.])\s+")
CHAPTERS = tuple(tuple(_SENTENCES.split(text)) for text in (STORY, _SECOND, _THIRD))
_AT_THE_END = "That was the whole story. Ask me for it again whenever you like."


def next_part(said: Iterable[str]) -> str | None:
    """How the story goes on.

    Args:
        said: What the teller has said, newest first, as far as it was heard.

    Returns:
        The rest of the chapter, from the sentence on that was not heard to its end, or the next
        chapter; None if nobody has begun to tell it.
    """
    for text in said:
        found = _heard(text)
        if found is None:
            continue
        chapter, sentence = found
        rest = CHAPTERS[chapter][sentence:]
        if rest:
            return " ".join(rest)
        return " ".join(CHAPTERS[chapter + 1]) if chapter + 1 < len(CHAPTERS) else _AT_THE_END
    return None


def _heard(text: str) -> tuple[int, int] | None:
    """The chapter that a text tells, and its first sentence that the text does not have whole."""
    letters = _letters(text)
    if not letters:
        return None
    if _letters(_AT_THE_END).startswith(letters):
        return len(CHAPTERS) - 1, len(CHAPTERS[-1])
    for number, chapter in enumerate(CHAPTERS):
        whole = [each for each, sentence in enumerate(chapter) if _letters(sentence) in letters]
        if whole:
            return number, whole[-1] + 1
        if begun := [each for each in range(len(chapter)) if _begins(chapter[each:], letters)]:
            return number, begun[0]
    return None


def _begins(sentences: Sequence[str], letters: str) -> bool:
    return _letters(sentences[0]).startswith(letters)


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())
