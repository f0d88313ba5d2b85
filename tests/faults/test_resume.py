"""An answer that breaks off goes on where it stopped; or ends there, and says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMSpecificMessage
from pipecat.utils.errors import ErrorCategory

from pipecat_responses import OpenAIResponsesLLMSettings, OpenAIResponsesReasoningConfig
from pipecat_responses.protocol.errors import MidResponseLossError, ResponsesError
from pipecat_responses.protocol.retry import Backoff
from pipecat_responses.sandbox import Answer, Call, Fault, ModelInput, Reasoning, Sandbox, Text
from pipecat_responses.sandbox.faults import Kind
from tests.faults.support import Talk, counted, limits_for, short_probe, talking, until
from tests.support import history
from tests.support.hurry import Transport

BOTH = pytest.mark.parametrize("transport", ["websocket", "http"])
TELLING = (
    "Good evening, Ada. The lighthouse keeper reported a thunderstorm over the northern islands, "
    "so the ferry will not leave before half past seven tomorrow morning."
)


def item_text(item: Any) -> str:
    content = item["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def in_threes(text: str) -> Text:
    """Streamed three characters at a time, so that a loss falls in the middle of words."""
    return Text(text, [text[i : i + 3] for i in range(0, len(text), 3)])


def already_said(given: ModelInput) -> str | None:
    """What the model is asked to continue, or None."""
    *_, message, request = [*given.history, {}, {}][:-2] if given.count > 1 else [{}, {}]
    if request.get("role") == "developer" and message.get("role") == "assistant":
        return item_text(message)
    return None


def tell(given: ModelInput) -> Answer:
    """Tells the story, or the rest of it, from the last word on as it is asked to."""
    said = already_said(given) or ""
    assert TELLING.startswith(said)
    return Answer((in_threes(TELLING[said.rstrip().rfind(" ") + 1 :]),))


def resumed_requests(sandbox: Sandbox) -> list[Any]:
    return [r for r in sandbox.requests if r.input and r.input[-1].get("role") == "developer"]


def check_history(sandbox: Sandbox, talk: Talk) -> None:
    """The newest request saw exactly the context as it is without the newest answer."""
    seen = history.of_items(sandbox.requests[-1].history)
    said = history.of_context(talk.context)
    assert seen == said[: len(seen)]
    assert {role for role, *_ in said[len(seen) :]} <= {"reasoning", "assistant"}


class TestTheServerDies:
    @BOTH
    async def test_in_the_middle_of_a_word_and_comes_back(
        self, sandbox: Sandbox, transport: Transport
    ) -> None:
        sandbox.config.responder = tell
        sandbox.config.tokens_per_second = 300
        limits = {"backoff": Backoff(first=0.1, cap=0.4)}

        async def restart() -> None:
            await talk.text_arrives(5)
            await sandbox.stop()
            sandbox.config.tokens_per_second = None
            await sandbox.start()

        async with talking(sandbox, transport, limits=limits) as talk:
            heard = await talk.turn("What is new?", meanwhile=restart)
            assert heard.text == TELLING
            assert heard.errors == []
            assert talk.written == TELLING
            assert talk.llm.stats.resumed >= 1
            said = item_text(resumed_requests(sandbox)[0].input[-2])
            assert 15 <= len(said) < len(TELLING)
            sandbox.config.responder = None
            assert (await talk.turn("count to 5")).text == counted(5)
            check_history(sandbox, talk)

    @BOTH
    @pytest.mark.parametrize("after", [1, 7, 20, 43])
    async def test_at_any_character(
        self, sandbox: Sandbox, transport: Transport, after: int
    ) -> None:
        sandbox.config.responder = tell
        sandbox.faults.add(Fault("reset", "text", after=after))
        async with talking(sandbox, transport) as talk:
            heard = await talk.turn("What is new?")
            assert heard.text == TELLING
            assert heard.errors == []
            assert talk.written == TELLING

    @BOTH
    async def test_again_and_again(self, sandbox: Sandbox, transport: Transport) -> None:
        sandbox.config.responder = tell
        sandbox.faults.add(*(Fault("reset", "text", after=n) for n in (9, 4, 2)))
        async with talking(sandbox, transport) as talk:
            heard = await talk.turn("What is new?")
            assert heard.text == TELLING
            assert heard.errors == []
            assert talk.llm.stats.resumed == 3

    @BOTH
    async def test_while_the_answer_is_taken_up_again(
        self, sandbox: Sandbox, transport: Transport
    ) -> None:
        sandbox.config.responder = tell
        sandbox.faults.add(Fault("reset", "text", after=9), Fault("reset", "request", skip=1))
        async with talking(sandbox, transport) as talk:
            heard = await talk.turn("What is new?")
            assert heard.text == TELLING
            assert heard.errors == []


class TestTheModelRepeats:
    """Asked to go on, models say again what they said."""

    @BOTH
    @pytest.mark.parametrize("how", ["words", "sentence", "all", "blank"])
    async def test_nothing_is_heard_twice(
        self, sandbox: Sandbox, transport: Transport, how: str
    ) -> None:
        def repeat(given: ModelInput) -> Answer:
            said = already_said(given)
            if said is None:
                return Answer((in_threes(TELLING),))
            again = {
                "words": said[said.rindex("reported") :],
                "sentence": said[said.index("The light") :],
                "all": said,
                "blank": " " + said[said.rindex("reported") :],
            }[how]
            return Answer((in_threes(again + TELLING[len(said) :]),))

        sandbox.config.responder = repeat
        sandbox.faults.add(Fault("close", "text", after=20))
        async with talking(sandbox, transport) as talk:
            heard = await talk.turn("What is new?")
            assert heard.text == TELLING
            assert heard.errors == []

    @BOTH
    async def test_an_empty_answer_is_asked_for_once_more(
        self, sandbox: Sandbox, transport: Transport
    ) -> None:
        sandbox.config.responder = tell
        sandbox.faults.add(Fault("close", "text", after=20), Fault("empty", skip=1))
        async with talking(sandbox, transport) as talk:
            heard = await talk.turn("What is new?")
            assert heard.text == TELLING
            assert heard.errors == []

    @BOTH
    async def test_a_model_with_nothing_to_add_ends_the_turn(
        self, sandbox: Sandbox, transport: Transport
    ) -> None:
        def shrug(given: ModelInput) -> Answer:
            return Answer() if already_said(given) else Answer((in_threes(TELLING),))

        sandbox.config.responder = shrug
        sandbox.faults.add(Fault("close", "text", after=20))
        async with talking(sandbox, transport) as talk:
            heard = await talk.turn("What is new?")
            assert heard.text == TELLING[:60]
            assert heard.errors == []


class TestStop:
    @BOTH
    @pytest.mark.parametrize("kind", ["reset", "close", "stall", "silence", "error"])
    async def test_the_text_is_kept_and_the_loss_is_reported(
        self, sandbox: Sandbox, transport: Transport, kind: Kind
    ) -> None:
        sandbox.faults.add(Fault(kind, "text", after=5))
        with short_probe():
            async with talking(
                sandbox, transport, on_mid_response_loss="stop", limits=limits_for(kind)
            ) as talk:
                heard = await talk.turn("count to 30")
                assert heard.text.strip() == "1, 2, 3, 4, 5,"
                [error] = heard.errors
                assert isinstance(error.exception, MidResponseLossError)
                assert error.exception.response_id == sandbox.requests[0].response_id
                assert error.category is (
                    ErrorCategory.SERVER if kind == "error" else ErrorCategory.CONNECTIVITY
                )
                assert talk.written.strip() == "1, 2, 3, 4, 5,"
                assert talk.llm.is_usable
                assert len(sandbox.requests) == 1
                assert (await talk.turn("count to 5")).text == counted(5)
                check_history(sandbox, talk)

    @BOTH
    async def test_before_any_word_it_is_tried_again_all_the_same(
        self, sandbox: Sandbox, transport: Transport
    ) -> None:
        sandbox.faults.add(Fault("reset", "created"))
        async with talking(sandbox, transport, on_mid_response_loss="stop") as talk:
            heard = await talk.turn("count to 30")
            assert heard.text == counted(30)
            assert heard.errors == []


class TestResumingFails:
    @BOTH
    @pytest.mark.parametrize(
        ("status", "code", "category", "usable"),
        [
            (401, "invalid_api_key", ErrorCategory.AUTHENTICATION, False),
            (400, "context_length_exceeded", ErrorCategory.APPLICATION, True),
            (500, "server_error", ErrorCategory.SERVER, True),
        ],
    )
    async def test_one_report(
        self,
        sandbox: Sandbox,
        transport: Transport,
        status: int,
        code: str,
        category: ErrorCategory,
        usable: bool,
    ) -> None:
        params = {"status": status, "code": code, "message": "No."}
        sandbox.faults.add(
            Fault("reset", "text", after=5), Fault("error", skip=1, times=None, params=params)
        )
        async with talking(sandbox, transport) as talk:
            heard = await talk.turn("count to 30")
            assert heard.text.strip() == "1, 2, 3, 4, 5,"
            [error] = heard.errors
            assert error.category is category
            assert isinstance(error.exception, ResponsesError)
            assert error.exception.code == code
            assert error.exception.status == status
            assert isinstance(error.exception, MidResponseLossError) is usable
            assert talk.llm.is_usable is usable
            assert talk.written.strip() == "1, 2, 3, 4, 5,"
            sandbox.faults.clear()
            await talk.llm.set_usable(True)
            assert (await talk.turn("count to 5")).text == counted(5)
            check_history(sandbox, talk)


class TestCalls:
    @BOTH
    @pytest.mark.parametrize("kind", ["reset", "close", "stall", "silence", "error", "failed"])
    async def test_complete_ones_run_once(
        self, sandbox: Sandbox, transport: Transport, kind: Kind
    ) -> None:
        sandbox.faults.add(Fault(kind, "terminal"))
        with short_probe():
            async with talking(sandbox, transport, tools=True, limits=limits_for(kind)) as talk:
                heard = await talk.turn("Please call note.", ends=2)
                assert heard.text == 'note says "note done".'
                assert heard.errors == []
                assert [name for name, _ in talk.toolbox.runs] == ["note"]
                assert (await talk.turn("count to 5")).text == counted(5)
                check_history(sandbox, talk)

    @BOTH
    @pytest.mark.parametrize("kind", ["reset", "close", "silence", "error", "failed", "incomplete"])
    async def test_of_two_the_broken_one_never_runs(
        self, sandbox: Sandbox, transport: Transport, kind: Kind
    ) -> None:
        sandbox.script(Answer((Call("note", {"words": "a"}), Call("ring", {"words": "b" * 50}))))
        sandbox.faults.add(Fault(kind, "call", after=2, skip=1))
        async with talking(sandbox, transport, tools=True, limits=limits_for(kind)) as talk:
            heard = await talk.turn("Go on.", ends=2)
            assert talk.toolbox.runs == [("note", {"words": "a"})]
            assert heard.text == 'note says "note done".'
            assert heard.errors == []
            assert (await talk.turn("count to 5")).text == counted(5)
            check_history(sandbox, talk)

    @BOTH
    @pytest.mark.parametrize("kind", ["reset", "close", "silence", "error", "failed"])
    async def test_a_broken_one_after_words_is_made_again(
        self, sandbox: Sandbox, transport: Transport, kind: Kind
    ) -> None:
        sandbox.script(
            Answer(("Let me write that down. ", Call("note", {"words": "a" * 50}))),
            Answer((Call("note", {"words": "a"}),)),
        )
        sandbox.faults.add(Fault(kind, "call", after=2))
        async with talking(sandbox, transport, tools=True, limits=limits_for(kind)) as talk:
            heard = await talk.turn("Go on.", ends=2)
            assert talk.toolbox.runs == [("note", {"words": "a"})]
            assert heard.text == 'Let me write that down. note says "note done".'
            assert heard.errors == []
            assert (await talk.turn("count to 5")).text == counted(5)
            check_history(sandbox, talk)

    @BOTH
    async def test_one_that_is_lost_for_good_is_reported_and_never_runs(
        self, sandbox: Sandbox, transport: Transport
    ) -> None:
        sandbox.faults.add(Fault("reset", "call", after=2, times=None))
        async with talking(sandbox, transport, tools=True, limits={"total_secs": 0.5}) as talk:
            heard = await talk.turn("Please call note.")
            assert heard.text == ""
            assert len(heard.errors) == 1
            sandbox.faults.clear()
            assert (await talk.turn("count to 5")).text == counted(5)
            assert talk.toolbox.runs == []
            check_history(sandbox, talk)


class TestReasoning:
    """A reasoning item may not stand in a context without what it led to."""

    SETTINGS = OpenAIResponsesLLMSettings(
        model="gpt-5.4", reasoning=OpenAIResponsesReasoningConfig(effort="low")
    )

    @staticmethod
    def kinds(talk: Talk) -> list[str]:
        return [
            message.message["type"] if isinstance(message, LLMSpecificMessage) else message["role"]
            for message in talk.context.get_messages()
        ]

    @pytest.fixture
    def thought(self) -> Sequence[Any]:
        return (Reasoning("I think about it."), TELLING)

    @BOTH
    @pytest.mark.parametrize("kind", ["reset", "silence", "error", "failed", "incomplete"])
    async def test_lost_before_the_first_word(
        self, sandbox: Sandbox, transport: Transport, kind: Kind, thought: Sequence[Any]
    ) -> None:
        sandbox.script(Answer(thought), Answer(thought))
        sandbox.faults.add(Fault(kind, "text"))
        async with talking(
            sandbox, transport, settings=self.SETTINGS, limits=limits_for(kind)
        ) as talk:
            heard = await talk.turn("What is new?")
            assert heard.text == ("" if kind == "incomplete" else TELLING)
            sandbox._engine.script.clear()
            await self.still_right(sandbox, talk)

    @BOTH
    @pytest.mark.parametrize("kind", ["reset", "silence", "error", "failed", "incomplete"])
    async def test_lost_after_some_words(
        self, sandbox: Sandbox, transport: Transport, kind: Kind, thought: Sequence[Any]
    ) -> None:
        rest = TELLING.split(" ", 5)[-1]
        sandbox.script(Answer(thought), Answer((Reasoning("And on."), " " + rest)))
        sandbox.faults.add(Fault(kind, "text", after=5))
        async with talking(
            sandbox, transport, settings=self.SETTINGS, limits=limits_for(kind)
        ) as talk:
            heard = await talk.turn("What is new?")
            assert heard.errors == []
            if kind != "incomplete":
                assert heard.text == TELLING
            sandbox._engine.script.clear()
            await self.still_right(sandbox, talk)

    @BOTH
    async def test_lost_for_good(
        self, sandbox: Sandbox, transport: Transport, thought: Sequence[Any]
    ) -> None:
        sandbox.config.responder = lambda given: Answer(thought)
        sandbox.faults.add(Fault("reset", "text", after=1, times=None))
        async with talking(
            sandbox, transport, settings=self.SETTINGS, on_mid_response_loss="stop"
        ) as talk:
            heard = await talk.turn("What is new?")
            assert len(heard.errors) == 1
            sandbox.config.responder = None
            sandbox.faults.clear()
            await self.still_right(sandbox, talk)

    @BOTH
    async def test_one_that_cannot_be_sent_back_does_no_harm(
        self, sandbox: Sandbox, transport: Transport, thought: Sequence[Any]
    ) -> None:
        # Nobody asked for encrypted content here, so the server knows the item by id alone.
        sandbox.script(Answer(thought))
        settings = OpenAIResponsesLLMSettings(model="gpt-4.1")
        async with talking(sandbox, transport, settings=settings) as talk:
            assert (await talk.turn("What is new?")).text == TELLING
            sandbox.cut()
            following = await talk.turn("count to 5")
            assert following.text == counted(5)
            assert following.errors == []

    async def still_right(self, sandbox: Sandbox, talk: Talk) -> None:
        kinds = self.kinds(talk)
        for kind, after in zip(kinds, [*kinds[1:], None], strict=True):
            if kind == "reasoning":
                assert after in ("assistant", "reasoning"), kinds
        # A server that has forgotten everything gets the whole context, and checks its order.
        sandbox.cut()
        following = await talk.turn("count to 5")
        assert following.text == counted(5)
        assert following.errors == []
        check_history(sandbox, talk)


class TestInterruptions:
    @BOTH
    async def test_the_user_speaks_while_the_answer_is_taken_up_again(
        self, sandbox: Sandbox, transport: Transport
    ) -> None:
        params = {"status": 429, "code": "rate_limit_exceeded", "headers": {"retry-after": "5"}}
        sandbox.faults.add(
            Fault("reset", "text", after=5), Fault("error", skip=1, times=None, params=params)
        )
        async with talking(sandbox, transport) as talk:
            await talk.start("count to 30")
            # The answer has broken off, and the turn waits for its time to ask again.
            await until(lambda: len(sandbox.requests) == 2)
            await talk.interrupt()
            sandbox.faults.clear()
            following = await talk.turn("count to 5")
            assert following.text == counted(5)
            assert talk.errors == []
            assert talk.written == counted(5)
            check_history(sandbox, talk)
