"""Callers for bot.py: so many at once, and how long they waited for the bot's first sound.

Run:  python examples/deploy/callers.py --calls 10 20 40 --turns 4

For each number it prints the figures of the callers, and what the process says in /metrics of its
own: CPU, and how late its event loop was.
"""

import argparse
import asyncio
import re
import statistics
import sys
import time
import urllib.request
from dataclasses import dataclass, field

from loguru import logger
from pipecat.frames.frames import TranscriptionFrame
from pipecat.serializers.protobuf import ProtobufFrameSerializer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

PAUSE = 1.0
"""Seconds without sound after which the bot has said all, and the caller goes on."""

PATIENCE = 20.0
"""Seconds that a caller waits for the bot's first sound."""


@dataclass
class Heard:
    """What became of the calls.

    Attributes:
        waited: Seconds until the first sound, of each turn.
        sound: Seconds of sound, of each turn.
        unanswered: Turns without an answer.
        refused: Calls that were not taken.
        broken: Calls that were cut off.
    """

    waited: list[float] = field(default_factory=list)
    sound: list[float] = field(default_factory=list)
    unanswered: int = 0
    refused: int = 0
    broken: int = 0


class Caller:
    """One caller, who sends what was said as text."""

    def __init__(self, socket: ClientConnection, heard: Heard) -> None:
        self._socket = socket
        self._heard = heard
        self._serializer = ProtobufFrameSerializer()

    async def turn(self, text: str) -> None:
        """Says something, and listens until the bot is silent."""
        said = await self._serializer.serialize(TranscriptionFrame(text, "caller", ""))
        assert said is not None
        await self._socket.send(said)
        began, seconds, patience = time.monotonic(), 0.0, PATIENCE
        while True:
            try:
                async with asyncio.timeout(patience):
                    frame = await self._serializer.deserialize(await self._socket.recv())
            except TimeoutError:
                break
            # The serializer makes input of whatever sound comes in.
            audio = getattr(frame, "audio", None)
            if audio:
                if not seconds:
                    self._heard.waited.append(time.monotonic() - began)
                seconds += len(audio) / 2 / frame.sample_rate  # type: ignore[union-attr]
                patience = PAUSE
        if seconds:
            self._heard.sound.append(seconds)
        else:
            self._heard.unanswered += 1


async def call(url: str, turns: int, heard: Heard) -> None:
    """One call, from dialling to hanging up."""
    try:
        async with connect(url, proxy=None, max_size=None) as socket:
            caller = Caller(socket, heard)
            for number in range(turns):
                await caller.turn(f"count to {8 + number}")
    except InvalidStatus:
        heard.refused += 1
    except ConnectionClosed:
        heard.broken += 1


@dataclass(frozen=True)
class Figures:
    """What the process says of itself.

    Attributes:
        cpu: Seconds of CPU so far.
        lag: How often the event loop was at most so late, so far.
    """

    cpu: float
    lag: dict[float, float]


def figures_of(where: str) -> Figures:
    """Reads /metrics."""
    with urllib.request.urlopen(f"{where}/metrics") as answer:
        text = answer.read().decode()
    (cpu,) = re.findall(r"^process_cpu_seconds_total (\S+)", text, re.MULTILINE)
    lag = re.findall(r'^bot_event_loop_lag_seconds_bucket\{le="(\S+)"\} (\S+)', text, re.MULTILINE)
    return Figures(float(cpu), {float(bound): float(count) for bound, count in lag})


def share(before: Figures, after: Figures, wanted: float) -> float:
    """The bound below which a share of the looks at the event loop were."""
    counts = {bound: after.lag[bound] - before.lag[bound] for bound in after.lag}
    total = counts[float("inf")]
    return next(bound for bound, count in counts.items() if count >= wanted * total)


async def run(where: str, count: int, turns: int) -> None:
    """So many calls at once, and a line about them."""
    url = f"{where.replace('http', 'ws', 1)}/ws-client"
    heard = Heard()
    before, began = figures_of(where), time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(call(url, turns, heard))
            # Callers do not dial at the same moment.
            await asyncio.sleep(2.0 / count if number < count - 1 else 0)
    seconds, after = time.monotonic() - began, figures_of(where)
    cuts = statistics.quantiles(heard.waited, n=100) if len(heard.waited) > 1 else [0.0] * 99
    print(
        f"{count:4} calls  {len(heard.waited):4} turns  first sound: half {cuts[49]:.3f} s, "
        f"95 of 100 {cuts[94]:.3f} s, 99 of 100 {cuts[98]:.3f} s  "
        f"CPU {100 * (after.cpu - before.cpu) / seconds:3.0f} %  loop late: 99 of 100 below "
        f"{share(before, after, 0.99):g} s  unanswered {heard.unanswered}, refused "
        f"{heard.refused}, cut off {heard.broken}",
        flush=True,
    )


async def main() -> None:
    """Reads the options and runs the calls."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--where", default="http://127.0.0.1:7860")
    parser.add_argument("--calls", type=int, nargs="+", default=[10])
    parser.add_argument("--turns", type=int, default=4)
    given = parser.parse_args()
    logger.remove()
    for count in given.calls:
        await run(given.where, count, given.turns)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        sys.exit(f"The bot does not answer ({error}): start it, or say with --where where it is.")
