"""PocketSphinx in a process of its own.

The decoder keeps Python's lock while it works. In a thread it would hold up the event loop, and the
sound of every call with it.
"""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context, parent_process
from threading import Thread

from pocketsphinx import Decoder

SAMPLE_RATE = 16_000
"""What the model was made for, in samples per second."""

PIECE = SAMPLE_RATE * 2 // 10
"""Bytes that are decoded at a time, 100 ms: the decoder adapts to a voice from piece to piece."""


class Recognizer:
    """The model and its decoder."""

    def __init__(self) -> None:
        """Loads the model, which takes half a second and 100 MB."""
        self._decoder = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
        self._new_voice = self._decoder.get_cmn(False)

    def recognize(self, audio: bytes) -> str:
        """The words of an utterance.

        Args:
            audio: 16-bit mono samples, at ``SAMPLE_RATE``.

        Returns:
            The words in lower case, without punctuation; empty where nothing was understood.
        """
        # It has adapted to a voice; this utterance may be somebody else's.
        self._decoder.set_cmn(self._new_voice)
        self._decoder.start_utt()
        for start in range(0, len(audio), PIECE):
            self._decoder.process_raw(audio[start : start + PIECE])
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return found.hypstr if found is not None else ""


@cache
def recognizer() -> Recognizer:
    """The process's recognizer."""
    return Recognizer()


def recognize(audio: bytes) -> str:
    """The words of an utterance; see ``Recognizer``."""
    return recognizer().recognize(audio)


@cache
def process() -> ProcessPoolExecutor:
    """The process that recognizes, one utterance at a time; it ends with this one."""
    return ProcessPoolExecutor(1, get_context("spawn"), initializer=_prepare)


def _prepare() -> None:
    # Ctrl-C at a terminal reaches this process as well, and is for the other to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    recognizer()


def _end_with_parent() -> None:
    # One that was killed cannot say that it has gone.
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(0)
