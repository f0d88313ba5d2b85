"""A pause in what is said, so that a voice says what it has and does not wait for more.

Pipecat's voices are given text by an aggregator that cuts it into sentences. A sentence is complete
to it when the next one begins, or when the turn ends: "It costs 5." may go on as "It costs 5.50."
So where a tool runs behind a message, the message's last sentence waits until the tool is through.

The aggregator walks through each text character by character, and looks at what it has when one
that is no white space comes behind a full stop. A real one would be in the way: it stays as the
beginning of what is said next, and is said by itself if nothing follows. So the text of a pause is
empty, and is walked through as if it had one character, which is empty too. It releases the
sentence and leaves nothing behind. To everything else it is a text with nothing in it.

What looks at text in another way, or makes another text of it, waits for what follows as it did,
and no word is lost. So does a sentence without a full stop or the like at its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final


class _Pause(str):
    """An empty text that is walked through as if it had one character, an empty one."""

    __slots__ = ()

    def __iter__(self) -> Iterator[str]:
        """Gives the one character."""
        yield ""


PAUSE: Final = _Pause()
"""To be pushed like text where it is not known when more text will come."""
