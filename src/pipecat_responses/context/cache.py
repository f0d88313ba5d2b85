"""From a context to its items, each message converted once.

A context is compared with what is known of it (``ConvertedContext``). Messages that differ are
looked for among all that were converted (``ConvertedMessage``); those that are new are captured as
they are (``CapturedMessage``), written as items by the caller's function, and encoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, TypeAlias, cast
from weakref import WeakKeyDictionary, WeakValueDictionary

from loguru import logger
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.context.captured import CapturedMessage, mended_message
from pipecat_responses.context.converted import ConvertedContext, ConvertedMessage
from pipecat_responses.context.encoded import encoded
from pipecat_responses.context.errors import REFUSALS
from pipecat_responses.context.snapshots import unchanged
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.repairs import InputRepairs

ToWires: TypeAlias = Callable[[Any], Awaitable[Sequence[dict[str, Any]]]]
"""Gives the items of a message as the API takes them, after it has fetched the message's files.

Raises one of ``errors.REFUSALS`` if the message cannot be sent.
"""

_BATCH = 128
"""Messages that are looked at before other work on the event loop gets a turn."""


class ConversionCache:
    """The items of contexts, with what is needed to convert each message once.

    Contexts may alternate and be converted at the same time; what is kept of a context goes when
    the context goes.
    """

    def __init__(self, to_wires: ToWires, warn: Callable[[str], None]) -> None:
        """Creates a cache that has not seen any context.

        Args:
            to_wires: Converts one message.
            warn: Told of each repair that changes what the model reads. It may hear the same
                more than once.
        """
        self._to_wires = to_wires
        self._warn = warn
        self._contexts: WeakKeyDictionary[LLMContext, ConvertedContext] = WeakKeyDictionary()
        # Finds a message that another context, or another place, has converted. The ids are
        # hints: a message counts as found only after its snapshot compared equal.
        self._messages: WeakValueDictionary[int, ConvertedMessage] = WeakValueDictionary()

    async def convert(self, context: LLMContext) -> ConvertedContext:
        """Converts a context as it is at this moment.

        Without many new messages, or large ones, nothing is awaited. Large ones are encoded in
        steps between which other work goes on; messages that change meanwhile count for the next
        call.

        Args:
            context: The context.

        Returns:
            The context, converted; the next call may change it. Unchanged messages give the same
            items every time.

        Raises:
            ContextMessageError: If a message cannot be sent. What could be converted is kept.
        """
        messages: list[Any] = context.get_messages()
        known = self._contexts.get(context)
        if known is None:
            known = self._contexts[context] = self._begin(messages)
        same = known.unchanged_until(messages)
        if same < len(messages) or same < len(known.messages):
            await self._follow(known, messages[same:], same)
        return known

    def _begin(self, messages: list[Any]) -> ConvertedContext:
        """What is known of a new context: most are copies of one that is known."""
        best, length = None, 0
        for other in self._contexts.values():
            if length == len(messages):
                break
            same = other.unchanged_until(messages)
            if same > length:
                best, length = other, same
        if best is None:
            return ConvertedContext(InputRepairs(self._warn, logger.debug))
        return best.fork(length)

    async def _follow(self, known: ConvertedContext, messages: list[Any], same: int) -> None:
        """Brings what is known up to date with messages that come behind the first ``same``.

        Nothing of it is touched before all messages are there, since others may bring it to
        another state during an await.
        """
        version, before = known.version, known.messages
        found = await self._look_up(known, messages, same)
        result: list[ConvertedMessage] = []
        try:
            await self._complete(found, result)
        finally:
            # Also after an error: what comes before it need not be converted again.
            if len(result) == len(messages) or same + len(result) > len(known.messages):
                if known.version == version:
                    known.update(result, same)
                else:
                    known.update(before[:same] + result)
        if len(found) > _BATCH:
            # What is done with so many items takes its time, too.
            await asyncio.sleep(0)

    async def _look_up(
        self, known: ConvertedContext, messages: list[Any], same: int
    ) -> list[ConvertedMessage | CapturedMessage]:
        """Finds those of the messages that were converted, and captures the others."""
        version = known.version
        found: list[ConvertedMessage | CapturedMessage] = []
        index = 0
        while index < len(messages):
            if known.version == version:
                # In the same place, if only some messages have changed.
                stop = known.unchanged_until(messages, index, behind=same)
                found += known.messages[same + index : same + stop]
                index = stop
            if index < len(messages):
                message = messages[index]
                found.append(self._elsewhere(message) or CapturedMessage(message, same + index))
                index += 1
            if index % _BATCH == 0:
                await asyncio.sleep(0)
        return found

    def _elsewhere(self, message: Any) -> ConvertedMessage | None:
        """A message that was converted in another place or context."""
        found = self._messages.get(id(message))
        if found is not None and unchanged(found.snapshot, message):
            return found
        return None

    async def _complete(
        self, found: list[ConvertedMessage | CapturedMessage], result: list[ConvertedMessage]
    ) -> None:
        """Adds what was found to a list, converted; up to the first that cannot be."""
        new = 0
        for kind, run in groupby(found, type):
            if kind is ConvertedMessage:
                # Most of a conversation.
                result.extend(cast(Iterable[ConvertedMessage], run))
                continue
            for message in cast(Iterable[CapturedMessage], run):
                converted = await self._convert(message)
                self._messages[message.key] = converted
                result.append(converted)
                new += 1
                if new % _BATCH == 0:
                    await asyncio.sleep(0)
        if len(found) > _BATCH:
            await asyncio.sleep(0)

    async def _convert(self, message: CapturedMessage) -> ConvertedMessage:
        try:
            try:
                items = await self._items(message.content())
            except UnicodeEncodeError:
                self._warn(
                    "The context holds text that is not valid Unicode (half a character, as when "
                    "an emoji was cut in two): U+FFFD is sent in its place."
                )
                items = await self._items(mended_message(message.content()))
        except UnicodeError as error:
            # The error holds the text, which must not reach a log.
            raise message.error(error) from None
        except REFUSALS as error:
            raise message.error(error) from error
        return ConvertedMessage(message.snapshot, tuple(items))

    async def _items(self, content: Any) -> list[Item]:
        return [await encoded(wire) for wire in await self._to_wires(content)]
