"""One message of a context as items of the API, whichever kind of message it is.

Files that OpenAI cannot fetch are fetched first; messages for other LLMs give nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pipecat.adapters.llm.base_llm_adapter import LLMContextConversionError
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage

from pipecat_responses.context.messages import holds_file, specific_wire, standard_wires

_QUERY = re.compile(r"\?[^\s'\"]+")


class Files(Protocol):
    """Where the contents of files come from, as Pipecat's adapters have them."""

    async def prepare_file_content(self, context: LLMContext) -> None:
        """Fetches the files of a context.

        Raises:
            LLMContextConversionError: If a file cannot be fetched.
        """

    def inlined_file_content(self, file_data: Mapping[str, Any]) -> bytes | str | None:
        """A file's content as a data URL, or None if OpenAI fetches its URL itself.

        Raises:
            ValueError: If the content is nowhere to be had.
        """


class MessageWires:
    """Writes messages as items of the API, with their files."""

    def __init__(self, llm: str, files: Files, warn: Callable[[str], None]) -> None:
        """Creates a converter of messages.

        Args:
            llm: The name under which contexts hold messages for this API only.
            files: Gives the contents of files.
            warn: Told of messages that are left out. It may hear the same more than once.
        """
        self._llm = llm
        self._files = files
        self._warn = warn

    async def of(self, message: Any) -> list[dict[str, Any]]:
        """The items of a message as the API takes them.

        Args:
            message: A standard message, or one that is specific to an LLM.

        Returns:
            Its items; none, if it is for another LLM.

        Raises:
            ValueError: If the message cannot be sent, with the reason. Other exceptions
                (``AttributeError``, ``LookupError``, ``TypeError`` and the like) mean that it is
                malformed.
        """
        if isinstance(message, LLMSpecificMessage):
            return self._specific(message)
        if holds_file(message):
            await self._fetch_files(message)
        return list(standard_wires(message, self._files.inlined_file_content))

    def _specific(self, message: LLMSpecificMessage) -> list[dict[str, Any]]:
        if message.llm == self._llm:
            return [specific_wire(message.message)]
        self._warn(
            f"Messages for the LLM {message.llm!r} are left out of the conversation: this service "
            f"reads only standard messages and {self._llm!r} ones."
        )
        return []

    async def _fetch_files(self, message: dict[str, Any]) -> None:
        try:
            await self._files.prepare_file_content(
                LLMContext([message])  # type: ignore[list-item]
            )
        except LLMContextConversionError as error:
            # The queries of URLs hold signatures, which are secret.
            reason = _QUERY.sub("?...", str(error.__cause__))
            raise ValueError(f"its file cannot be fetched: {reason}") from error
