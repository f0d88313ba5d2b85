"""A voice without sound: a text-to-speech service of Pipecat's that synthesises silence."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Literal

from pipecat.frames.frames import Frame, TTSAudioRawFrame, TTSStoppedFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TextAggregationMode, TTSService
from pipecat.utils.string import match_endofsentence
from pipecat.utils.text.base_text_aggregator import TextType
from pipecat.utils.text.simple_text_aggregator import SimpleTextAggregator

VoiceKind = Literal["sentence", "word", "token"]
"""What a voice reports of what it says; see ``Voice``."""

RATE = 15.0
"""Characters a second: about as fast as people talk."""

CHUNK = 0.5
"""Seconds of audio in a frame, as in Pipecat's own services over HTTP."""


class _Sentences:
    """Puts sentences together as Pipecat does.

    Attributes:
        rest: The text of the sentence that may go on.
    """

    def __init__(self) -> None:
        self._aggregator = SimpleTextAggregator(aggregation_type=TextType.SENTENCE)
        self.rest = ""

    async def whole(self, text: str) -> str:
        """The sentences that are whole with some more text, as they are written."""
        self.rest += text
        end = 0
        async for _ in self._aggregator.aggregate(text):
            end += match_endofsentence(self.rest[end:])
        whole, self.rest = self.rest[:end], self.rest[end:]
        return whole


class Voice(TTSService):
    """Says nothing, in the time that saying it takes, and reports it as a real voice does.

    There are three kinds:

    - ``"sentence"`` is a voice without word timestamps (OpenAI, Piper, Google): it is given whole
      sentences, and one ``TTSTextFrame`` follows the audio of each.
    - ``"word"`` is a voice with word timestamps (Cartesia, ElevenLabs, Rime): it is given whole
      sentences too, and says when each of their words begins.
    - ``"token"`` is a voice with word timestamps that is given every token as it comes
      (``TextAggregationMode.TOKEN``); it puts the sentences together by itself, and says each when
      the next one begins.

    Example::

        Voice("word", rate=10, text_transforms=[("*", strip_markdown)])

    Attributes:
        kind: Its kind.
        rate: How fast it talks, in characters a second, spaces included.
    """

    def __init__(
        self,
        kind: VoiceKind = "sentence",
        *,
        rate: float = RATE,
        text_aggregator: SimpleTextAggregator | None = None,
        **kwargs: Any,
    ) -> None:
        """Makes a voice.

        Args:
            kind: What it reports of what it says.
            rate: How fast it talks, in characters a second.
            text_aggregator: Cuts the text into what is spoken at once, instead of Pipecat's
                default: a ``SkipTagsAggregator``, say.
            **kwargs: More for Pipecat's ``TTSService``: ``text_filters``, ``text_transforms``,
                ``skip_text_types``, ...
        """
        mode = TextAggregationMode.TOKEN if kind == "token" else TextAggregationMode.SENTENCE
        settled: dict[str, Any] = {
            "text_aggregation_mode": mode,
            "push_text_frames": kind == "sentence",
            "push_start_frame": True,
            # Where there are timestamps, the server says when it is done.
            "push_stop_frames": kind == "sentence",
            "settings": TTSSettings(model=None, voice=None, language=None),
        }
        super().__init__(**{**settled, **kwargs})
        self.kind = kind
        self.rate = rate
        if text_aggregator is not None:
            self._text_aggregator = text_aggregator
        # Of each audio context: the characters said, and the sentence that is not whole yet.
        self._said: dict[str, int] = {}
        self._pending: dict[str, _Sentences] = {}

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Synthesises a text.

        Args:
            text: A sentence, or a token.
            context_id: The audio context it belongs to.

        Yields:
            Audio, or None where audio and words take the way of a server's.
        """
        if self.kind == "sentence":
            for frame in self._silence(text, context_id):
                yield frame
            return
        if self.kind == "token":
            # While a sentence may go on, Pipecat holds its words back, and those that it gets
            # before it knows the sentence may change places with those that it gets after.
            text = await self._pending.setdefault(context_id, _Sentences()).whole(text)
        elif context_id in self._said:
            text = f" {text}"
        await self._speak(text, context_id)
        yield None

    async def flush_audio(self, context_id: str | None = None) -> None:
        """The turn's text is complete: says what is left of it, and that this was all.

        Args:
            context_id: The turn's audio context.
        """
        if context_id is None or self.kind == "sentence":
            return
        if context_id in self._pending:
            await self._speak(self._pending.pop(context_id).rest, context_id)
        await self.append_to_audio_context(context_id, TTSStoppedFrame(context_id=context_id))
        await self.remove_audio_context(context_id)

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        """Forgets an audio context that was interrupted.

        Args:
            context_id: The audio context.
        """
        await super().on_audio_context_interrupted(context_id)
        self._forget(context_id)

    async def on_audio_context_completed(self, context_id: str) -> None:
        """Forgets an audio context that is complete.

        Args:
            context_id: The audio context.
        """
        await super().on_audio_context_completed(context_id)
        self._forget(context_id)

    def _forget(self, context_id: str) -> None:
        self._said.pop(context_id, None)
        self._pending.pop(context_id, None)

    async def _speak(self, text: str, context_id: str) -> None:
        """Puts words and their audio into an audio context, the words first."""
        said = self._said.get(context_id, 0)
        words = [
            (match.group(), (said + match.start()) / self.rate)
            for match in re.finditer(r"\S+", text)
        ]
        await self.add_word_timestamps(words, context_id)
        for frame in self._silence(text, context_id):
            await self.append_to_audio_context(context_id, frame)

    def _silence(self, text: str, context_id: str) -> Iterator[Frame]:
        """The audio of a text, in frames of at most half a second."""
        said = self._said.get(context_id, 0)
        self._said[context_id] = said + len(text)
        # In samples from the beginning, so that nothing is lost by rounding.
        begin, end = (int(n * self.sample_rate / self.rate) for n in (said, said + len(text)))
        step = int(CHUNK * self.sample_rate)
        for start in range(begin, end, step):
            samples = min(step, end - start)
            yield TTSAudioRawFrame(bytes(2 * samples), self.sample_rate, 1, context_id=context_id)
