"""What waits to be sent: its order, what can be taken back, and what comes after the end."""

from __future__ import annotations

import asyncio

from pipecat_responses.protocol.requests import Payload
from pipecat_responses.transport.outbox import Outbox


def payload(text: bytes) -> Payload:
    return Payload(((text,),), len(text))


async def drain(outbox: Outbox, count: int) -> list[bytes]:
    messages = [await outbox.next() for _ in range(count)]
    return [message.payload.join() for message in messages if message is not None]


async def test_background_messages_give_way() -> None:
    outbox = Outbox()
    outbox.post(payload(b"slow 1"), background=True)
    outbox.post(payload(b"first"))
    outbox.post(payload(b"slow 2"), background=True)
    outbox.post(payload(b"second"))
    assert await drain(outbox, 4) == [b"first", b"second", b"slow 1", b"slow 2"]


async def test_whoever_waits_is_woken() -> None:
    outbox = Outbox()
    waiting = asyncio.create_task(outbox.next())
    await asyncio.sleep(0)
    message = outbox.post(payload(b"hello"))
    assert await waiting is message
    assert message.started
    assert not message.written
    message.finish()
    assert message.written


async def test_what_has_not_begun_can_be_taken_back() -> None:
    outbox = Outbox()
    left, kept = outbox.post(payload(b"left")), outbox.post(payload(b"kept"))
    assert await outbox.next() is left
    assert not outbox.take_back(left)
    assert outbox.take_back(kept)
    assert outbox.take_back(kept)
    last = outbox.post(payload(b"last"))
    assert await outbox.next() is last


async def test_after_the_end_nothing_leaves_and_answers_are_true() -> None:
    outbox = Outbox()
    left, kept = outbox.post(payload(b"left")), outbox.post(payload(b"kept"))
    await outbox.next()
    outbox.close()
    outbox.close()
    late = outbox.post(payload(b"late"))
    assert await outbox.next() is None
    assert not outbox.take_back(left)
    assert outbox.take_back(kept)
    assert outbox.take_back(late)
    assert not late.started


async def test_the_end_wakes_whoever_waits() -> None:
    outbox = Outbox()
    waiting = asyncio.create_task(outbox.next())
    await asyncio.sleep(0)
    outbox.close()
    assert await waiting is None


async def test_a_cancelled_wait_takes_nothing_along() -> None:
    outbox = Outbox()
    waiting = asyncio.create_task(outbox.next())
    await asyncio.sleep(0)
    message = outbox.post(payload(b"hello"))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not message.started
    assert await outbox.next() is message


class Way:
    """A way out that can be shut: what has left by it."""

    def __init__(self) -> None:
        self.open = True
        self.left: list[bytes] = []

    def write(self, payload: Payload) -> bool:
        if self.open:
            self.left.append(payload.join())
        return self.open


async def test_what_nothing_is_in_the_way_of_leaves_in_the_call() -> None:
    outbox, way = Outbox(), Way()
    outbox.write_through(way.write)
    first = outbox.post(payload(b"first"))
    second = outbox.post(payload(b"second"), background=True)
    assert way.left == [b"first", b"second"]
    for message in (first, second):
        assert message.started
        assert message.written
        assert message.written_at is not None
        assert not outbox.take_back(message)


async def test_where_the_way_is_shut_messages_wait_and_can_be_taken_back() -> None:
    outbox, way = Outbox(), Way()
    outbox.write_through(way.write)
    way.open = False
    first, second = outbox.post(payload(b"first")), outbox.post(payload(b"second"))
    way.open = True
    # Nothing overtakes what waits.
    third = outbox.post(payload(b"third"))
    assert way.left == []
    assert outbox.take_back(second)
    assert await outbox.next() is first
    assert await outbox.next() is third


async def test_nothing_is_written_into_the_middle_of_another_message() -> None:
    outbox, way = Outbox(), Way()
    early = outbox.post(payload(b"early"))
    outbox.write_through(way.write)
    assert await outbox.next() is early
    behind = outbox.post(payload(b"behind"))
    beside = outbox.post(payload(b"beside"), background=True)
    assert outbox.take_back(beside)
    # That it is asked for the next one tells that the last one has left.
    assert await outbox.next() is behind
    waiting = asyncio.create_task(outbox.next())
    await asyncio.sleep(0)
    outbox.post(payload(b"last"))
    assert way.left == [b"last"]
    waiting.cancel()


async def test_the_writer_finds_nothing_where_all_was_taken_back() -> None:
    outbox, way = Outbox(), Way()
    outbox.write_through(way.write)
    waiting = asyncio.create_task(outbox.next())
    await asyncio.sleep(0)
    way.open = False
    assert outbox.take_back(outbox.post(payload(b"never")))
    way.open = True
    outbox.post(payload(b"at once"))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert way.left == [b"at once"]
    outbox.close()
    assert await waiting is None


async def test_after_the_end_nothing_is_written_at_once() -> None:
    outbox, way = Outbox(), Way()
    outbox.write_through(way.write)
    outbox.close()
    late = outbox.post(payload(b"late"))
    assert way.left == []
    assert not late.started
    assert outbox.take_back(late)
