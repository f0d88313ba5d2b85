"""Joining a resumed answer to the words that were said before it broke off.

Asked to go on exactly where it stopped, a model sometimes repeats the last words, or all of them.
No word may be heard twice, so the beginning of the continuation is held back for as long as it may
still be such a repetition, and no longer.
"""

from __future__ import annotations

MEMORY = 400
"""Characters of the end of what was said that a repetition is looked for in."""

SHORTEST = 8
"""Characters a repetition must have to count as one (rng does not repeat that much)."""


class Splice:
    """Takes what repeats the end of a text off the beginning of its continuation.

    Example::

        splice = Splice("The weather in Paris is")
        splice.feed("in Par")       # ""
        splice.feed("is is sunny")  # " sunny"
    """

    def __init__(self, said: str) -> None:
        """Starts a splice.

        Args:
            said: The text that was said before.
        """
        self._held = ""
        tail = said[-MEMORY:]
        starts = [i for i in range(len(tail)) if i == 0 or not tail[i - 1].isalnum()]
        self._repeats = [tail[i:] for i in starts if len(tail) - i >= SHORTEST]
        # A model that starts all over repeats from the first word on.
        if len(said) > MEMORY:
            self._repeats.insert(0, said)
        self._done = not self._repeats

    def feed(self, text: str) -> str:
        """Takes the next piece of the continuation.

        Args:
            text: The piece.

        Returns:
            What of it (and of pieces held back before) is to be said now.
        """
        if self._done:
            return text
        self._held += text
        held = self._held.lstrip()
        if any(len(r) > len(held) and r.startswith(held) for r in self._repeats):
            return ""
        return self._release()

    def finish(self) -> str:
        """The continuation is over.

        Returns:
            What was held back and has turned out to be no repetition.
        """
        return "" if self._done else self._release()

    def _release(self) -> str:
        text, held = self._held, self._held.lstrip()
        self._done = True
        self._held = ""
        # The longest comes first.
        for repeat in self._repeats:
            if held.startswith(repeat):
                return held[len(repeat) :]
        return text
