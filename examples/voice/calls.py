"""The calls under way: each has a bot of its own, and there are only so many."""

import asyncio
import gc
from collections.abc import Awaitable, Callable

from loguru import logger
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection

MOST = 4
"""Calls at once. Each takes a fifth of a core, and the memory of its audio."""


class BusyError(Exception):
    """There are as many calls as there may be."""


class Calls:
    """Answers calls, and ends them."""

    def __init__(
        self, talk: Callable[[SmallWebRTCConnection], Awaitable[None]], most: int = MOST
    ) -> None:
        """Begins without calls.

        Args:
            talk: Talks with one caller until the call is over.
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
            ValueError: If the offer is none.
        """
        if "m=audio" not in sdp:
            raise ValueError("it offers no sound")
        if len(self._tasks) >= self._most:
            raise BusyError
        connection = SmallWebRTCConnection()
        answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._call(connection, sdp, answered))
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return await answered

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # Models of a call, 50 MB, hang on cycles of a few objects, which are no reason for Python
        # to collect.
        gc.collect()

    async def _call(
        self, connection: SmallWebRTCConnection, sdp: str, answered: asyncio.Future[str]
    ) -> None:
        try:
            try:
                await connection.initialize(sdp, "offer")
                answer = connection.get_answer()
            except Exception as error:  # noqa: BLE001 - it comes from whoever called
                answered.set_exception(ValueError(str(error)))
                return
            assert answer is not None
            answered.set_result(answer["sdp"])
            await self._talk(connection)
        except Exception:  # noqa: BLE001 - one call that fails is not to end the others
            logger.exception("A call failed")
        finally:
            if not answered.done():
                answered.cancel()
            await connection.disconnect()

    async def close(self) -> None:
        """Ends all calls, and waits for that."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
