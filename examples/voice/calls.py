"""The calls under way: each has a bot of its own, and there are only so many."""

import asyncio
import gc
from collections.abc import Awaitable, Callable

from loguru import logger
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection

MOST = 4
"""Calls at once. Each takes a third of a core, and 50 MB for models of its own."""


class BusyError(Exception):
    """There are as many calls as there may be."""


Talk = Callable[[SmallWebRTCConnection, asyncio.Event], Awaitable[None]]
"""Talks with one caller until the call is over, and sets the event once it listens."""


class Calls:
    """Answers calls, and ends them."""

    def __init__(self, talk: Talk, most: int = MOST) -> None:
        """Begins without calls.

        Args:
            talk: The bot.
            most: How many may call at once.
        """
        self._talk = talk
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._tasks)

    async def answer(self, sdp: str) -> str:
        """Answers a call.

        Args:
            sdp: The caller's offer, with all its candidates.

        Returns:
            The answer, with all of ours: those of this machine, since no server is asked for more.

        Raises:
            BusyError: If there are as many calls as there may be.
            ValueError: If the offer is none, or the bot does not come to listen.
        """
        if "m=audio" not in sdp:
            raise ValueError("it offers no sound")
        if len(self._tasks) >= self._most:
            raise BusyError
        connection = SmallWebRTCConnection()
        listening = asyncio.Event()
        call = asyncio.create_task(self._call(connection, listening))
        self._tasks.add(call)
        call.add_done_callback(self._over)
        waiting = asyncio.create_task(listening.wait())
        try:
            await asyncio.wait({call, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                raise ValueError("the bot has failed")
            await connection.initialize(sdp, "offer")
        except Exception as error:
            # What a parser says of an offer can be anything.
            raise ValueError(str(error)) from error
        finally:
            waiting.cancel()
            if connection.get_answer() is None:
                call.cancel()
        answer = connection.get_answer()
        assert answer is not None
        return str(answer["sdp"])

    async def _call(self, connection: SmallWebRTCConnection, listening: asyncio.Event) -> None:
        try:
            await self._talk(connection, listening)
        except Exception:  # noqa: BLE001 - one call that fails is not to end the others
            logger.exception("A call failed")
        finally:
            await connection.disconnect()

    def _over(self, call: asyncio.Task[None]) -> None:
        self._tasks.discard(call)
        # Models of a call, 50 MB, hang on cycles of a few objects, which are no reason for Python
        # to collect.
        gc.collect()

    async def close(self) -> None:
        """Ends all calls, and waits for that."""
        for call in self._tasks:
            call.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
