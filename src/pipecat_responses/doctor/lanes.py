"""Lanes, and forks from one to another."""

from __future__ import annotations

from pipecat_responses.doctor.advice import no, ok, said, trouble, unclear
from pipecat_responses.doctor.answers import is_refusal
from pipecat_responses.doctor.findings import Finding
from pipecat_responses.doctor.over_websocket import NOT_CERTAIN
from pipecat_responses.doctor.server import Server, Told
from pipecat_responses.doctor.words import Memory, recall_on, telling, two_words

_ONE, _OTHER = "doctor-1", "doctor-2"

_WITHOUT = "Nothing to do: a spare connection takes the turns after interruptions."


async def lanes(server: Server) -> Finding:
    """Whether two lanes of a connection answer, each under its name."""
    async with server.another_line() as line:
        words = two_words()
        answers = [
            server.send_on(line, server.request(telling(word)), lane=lane)
            for word, lane in zip(words, (_ONE, _OTHER), strict=True)
        ]
        for each in answers:
            await each.until_ended(server.within)
        for each in answers:
            if each.error is None:
                continue
            if not is_refusal(each.error, "stream_id"):
                return trouble(each.error, server)
            return no(f"stream_id is refused: {said(each.error)}", _WITHOUT, lanes=False)
    if any(each.named != each.lane for each in answers):
        return no("stream_id is taken, and no event bears it.", _WITHOUT, lanes=False)
    at_once = any(each.overlapped for each in answers)
    how = "at the same time" if at_once else "too quickly to overlap"
    return ok(f"Two of them answered, {how}.", lanes=True)


async def forks(server: Server) -> Finding:
    """Whether one lane can continue another's response, and both remember."""
    async with server.another_line() as line:
        words = two_words()
        told = []
        for word, lane in zip(words, (_ONE, _OTHER), strict=True):
            answer = await server.ask_on(line, server.request(telling(word)), lane=lane)
            if answer.error is not None:
                return trouble(answer.error, server)
            told.append(Told(word, answer))
        forked = await recall_on(server, line, told[0], lane=_OTHER)
        match forked.memory:
            case Memory.THERE:
                pass
            case Memory.REFUSED | Memory.DROPPED:
                what = (
                    said(forked.error)
                    if forked.memory is Memory.REFUSED
                    else "the model saw the question alone."
                )
                return no(
                    f"A lane does not continue another's response: {what}",
                    "Nothing to do: the service keeps to one lane after some failures.",
                    forks=False,
                )
            case Memory.UNCERTAIN:
                return unclear("The other lane's model did not know the word.", NOT_CERTAIN)
            case Memory.TROUBLE:
                return trouble(forked.error, server)
        both = [
            await recall_on(server, line, told[0], lane=_ONE),
            await recall_on(server, line, Told(words[0], forked.answer), lane=_OTHER),
        ]
    if all(each.memory is Memory.THERE for each in both):
        return ok("A lane continues another's response, and both remember it.", forks=True)
    if both[0].memory is Memory.REFUSED:
        return no(
            "A lane continues another's response, which is then lost to its own.",
            "Nothing to do: the service keeps to one lane after some failures.",
            forks=False,
        )
    for each in both:
        if each.memory is Memory.TROUBLE:
            return trouble(each.error, server)
    return unclear("After the fork, one side did not know the word any more.", NOT_CERTAIN)
