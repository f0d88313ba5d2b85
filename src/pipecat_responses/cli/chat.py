"""The chat: lines in, answers out, and what Ctrl-C does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from pipecat_responses.cli.bot import Bot, Turn
from pipecat_responses.cli.failures import UnusableError, name_of, sentence, unreachable
from pipecat_responses.cli.lines import Lines
from pipecat_responses.cli.screen import OutputConsole, Screen, Stream
from pipecat_responses.cli.target import Target, Transport, find_target
from pipecat_responses.inspector import Inspector
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure, Recovery
from pipecat_responses.protocol.planning import FullReason
from pipecat_responses.sandbox import Fault, Sandbox, SandboxConfig

SYSTEM = "You talk with a person in a terminal. Answer briefly, in plain text without markup."
"""The system instruction, unless another one is given."""

CUT_AFTER = 3
"""Pieces of text after which ``/cut`` cuts the connection of the next answer."""

HELP = """\
     /cut    cut the connection in the middle of the next answer (sandbox only)
     /help   show this
     /quit   leave
     Ctrl-C  interrupt the bot; leave when it is silent
     Ctrl-D  leave"""


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """What the command line asked for.

    Attributes:
        transport: How requests travel.
        model: The model.
        system: The system instruction, or None for the chat's own.
        url: The server's address, or None.
        inspect: Whether an inspector shows what happens.
    """

    transport: Transport = "websocket"
    model: str = "gpt-4.1"
    system: str | None = None
    url: str | None = None
    inspect: bool = False


class Source(Protocol):
    """Where the user's lines come from."""

    async def next(self) -> str | None:
        """The next line, or None after the last one."""


def run(options: ChatOptions) -> int:
    """Runs the chat on standard input and output.

    Returns:
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    if sys.stdin is None:
        # It was closed, which is to say nothing.
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    return asyncio.run(_run(options))


async def _run(options: ChatOptions) -> int:
    live = sys.stdin.isatty() and sys.stdout.isatty()
    out, err = Stream(OutputConsole()), Stream(OutputConsole(stderr=True))
    if not live or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        lines = Lines(sys.stdin.fileno())
        return await chat(options, Screen(out, err, prompts=live), lines, live=live)
    # Only here, since pipes do without it.
    from pipecat_responses.cli.history import open_history
    from pipecat_responses.cli.terminal import Terminal

    key = os.environ.get("OPENAI_API_KEY")
    async with Terminal(open_history((key,) if key else ())) as terminal:
        shown = Screen(terminal, terminal if sys.stderr.isatty() else err, prompts=False)
        return await chat(options, shown, terminal, live=True)


async def chat(options: ChatOptions, screen: Screen, lines: Source, *, live: bool) -> int:
    """Runs a chat.

    Args:
        options: What the command line asked for.
        screen: The output.
        lines: The input.
        live: Whether a person sits in front of it; else one line after the other is said, each
            once the one before has been answered.

    Returns:
        The exit status.
    """
    try:
        async with _sandbox(options, live=live) as sandbox:
            url = sandbox.base_url if sandbox is not None else None
            target = find_target(options.transport, options.url, url)
            service = target.service(options.model, options.system or SYSTEM)
            bot = Bot(service, screen)
            talk = Chat(bot, screen, lines, target, options.model, sandbox)
            if not options.inspect:
                return await talk.run(live=live)
            async with Inspector(service) as inspector:
                screen.note(f"See what happens: {inspector.url}")
                return await talk.run(live=live)
    except UnusableError as error:
        screen.failure(str(error), error.name)
        return 1


@contextlib.asynccontextmanager
async def _sandbox(options: ChatOptions, *, live: bool) -> AsyncIterator[Sandbox | None]:
    """The sandbox, if it is the one to talk to."""
    if options.url is not None or os.environ.get("OPENAI_API_KEY"):
        yield None
        return
    config = SandboxConfig()
    if live:
        config.time_to_first_token = 0.15
        config.tokens_per_second = 40
    async with Sandbox(config) as sandbox:
        yield sandbox


class Chat:
    """A conversation in the terminal."""

    def __init__(
        self,
        bot: Bot,
        screen: Screen,
        lines: Source,
        target: Target,
        model: str,
        sandbox: Sandbox | None,
    ) -> None:
        """Prepares a conversation.

        Args:
            bot: The bot.
            screen: The output.
            lines: The input.
            target: The server.
            model: The model.
            sandbox: The server, if it is the sandbox.
        """
        self._bot = bot
        self._screen = screen
        self._lines = lines
        self._target = target
        self._model = model
        self._sandbox = sandbox
        self._reading: asyncio.Task[str | None] | None = None
        self._leaving = asyncio.Event()
        self._answered = False
        self._failed = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, *, live: bool) -> int:
        """Talks until the user leaves.

        Returns:
            The exit status: 1 if a turn failed.

        Raises:
            UnusableError: If the server cannot be used.
        """
        with _on_signals({signal.SIGINT: self._interrupt, signal.SIGTERM: self._leave}):
            try:
                await self._connect()
                self._introduce(live=live)
                while (line := await self._next_line()) is not None:
                    while line is not None and not self._leaving.is_set():
                        line = await self._take(line, live=live)
            finally:
                if self._reading is not None:
                    self._reading.cancel()
                await self._bot.close()
        return 1 if self._failed else 0

    async def _connect(self) -> None:
        problem = await self._bot.start()
        errors = self._bot.take_errors()
        if errors:
            error = errors[-1].exception or errors[-1].error
            raise UnusableError(self._sentence(error), name_of(error))
        if problem is not None:
            raise UnusableError(unreachable(self._target.where, problem), Failure.CONNECTION)

    def _introduce(self, *, live: bool) -> None:
        if self._sandbox is not None:
            self._screen.note("OPENAI_API_KEY is not set: talking to a sandbox on this machine.")
        else:
            self._screen.note(f"Talking to {self._model} at {self._target.where}.")
        if live:
            self._screen.note("/help shows what you can do.")

    # -- input ------------------------------------------------------------------------------------

    async def _next_line(self) -> str | None:
        """The next line, or None to leave."""
        if self._leaving.is_set():
            return None
        self._screen.prompt()
        reading = self._read()
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        line = self._taken() if reading.done() and not self._leaving.is_set() else None
        if line is None:
            self._screen.end_prompt()
        return line

    def _read(self) -> asyncio.Task[str | None]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._lines.next())
        return self._reading

    def _taken(self) -> str | None:
        reading, self._reading = self._reading, None
        return reading.result() if reading is not None else None

    async def _take(self, line: str, *, live: bool) -> str | None:
        """Does what a line asks for.

        Returns:
            A line that was typed while the bot talked, which is next; or None.
        """
        text = line.strip()
        if not text:
            return None
        if text.startswith("/"):
            self._command(text)
            return None
        self._screen.user(text)
        answering = asyncio.create_task(self._bot.say(text))
        typed = await self._listen(answering) if live else None
        turn = await answering
        self._show(turn)
        return typed

    async def _listen(self, answering: asyncio.Task[Turn]) -> str | None:
        """Takes what is typed while the bot talks."""
        while True:
            reading = self._read()
            await asyncio.wait({answering, reading}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return None
            line = self._taken()
            if line is None:
                self._leaving.set()
            else:
                self._screen.typed()
                if line.strip() == "/cut":
                    self._cut_now()
                if line.strip() in ("", "/cut"):
                    continue
            # A word from the user interrupts, as a voice does.
            await self._bot.interrupt()
            return line

    def _interrupt(self) -> None:
        """Ctrl-C."""
        if self._bot.talking:
            self._fall_silent()
        else:
            self._leaving.set()

    def _leave(self) -> None:
        """Somebody ends the process: it ends like a chat, and the terminal is as it was."""
        self._leaving.set()
        if self._bot.talking:
            self._fall_silent()

    def _fall_silent(self) -> None:
        task = asyncio.create_task(self._bot.interrupt())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _command(self, command: str) -> None:
        match command.split()[0]:
            case "/quit" | "/exit":
                self._leaving.set()
            case "/help":
                self._screen.help(HELP)
            case "/cut":
                self._cut_next()
            case _:
                self._screen.note(f"There is no command {command}; /help shows those there are.")

    # -- cutting the connection -------------------------------------------------------------------

    def _cut_next(self) -> None:
        if self._sandbox is None:
            self._screen.note("/cut works with the sandbox only.")
            return
        self._sandbox.faults.add(Fault("reset", "text", after=CUT_AFTER))
        self._screen.note("The connection will be cut in the middle of the next answer.")

    def _cut_now(self) -> None:
        if self._sandbox is None:
            self._screen.note("/cut works with the sandbox only.")
            return
        self._sandbox.cut()
        self._screen.note("The connection has been cut.")

    # -- output -----------------------------------------------------------------------------------

    def _show(self, turn: Turn) -> None:
        """Says how a turn went.

        Raises:
            UnusableError: If there is no sense in going on.
        """
        self._answered = self._answered or turn.first_text is not None or not turn.errors
        if turn.interrupted:
            self._screen.cut()
        elif turn.errors:
            self._failed_turn(turn)
            return
        if turn.report is not None:
            self._screen.note(describe(turn))
        self._screen.close_line()

    def _failed_turn(self, turn: Turn) -> None:
        error = turn.errors[-1]
        said = self._sentence(error.exception or error.error)
        permanent = (
            isinstance(error.exception, ResponsesError)
            and error.exception.recovery is Recovery.PERMANENT
        )
        if permanent or not self._answered:
            raise UnusableError(said, name_of(error.exception or error.error))
        self._failed = True
        self._screen.failure(said, name_of(error.exception or error.error))

    def _sentence(self, error: BaseException | str) -> str:
        target = self._target
        return sentence(error, where=target.where, model=self._model, has_key=target.has_key)


def describe(turn: Turn) -> str:
    """A turn in one line: how its last request went out, and how soon the answer came."""
    report = turn.report
    assert report is not None
    how = "incremental" if report.incremental else "full"
    if report.full_reason is not None and report.full_reason is not FullReason.HTTP:
        how = f"full ({report.why_full})"
    items = "1 item" if report.items == 1 else f"{report.items} items"
    facts = ["interrupted"] if turn.interrupted else []
    facts += [report.transport, how, f"{items}, {report.size} bytes"]
    if turn.first_text is not None:
        facts.append(f"first text after {turn.first_text * 1000:.0f} ms")
    if turn.requests > 1:
        facts.append(f"last of {turn.requests} requests")
    if turn.resumed:
        facts.append("broke off and was resumed")
    return " | ".join(facts)


@contextlib.contextmanager
def _on_signals(actions: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Has signals do something of ours, where they can be had."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            for each, action in actions.items():
                loop.add_signal_handler(each, action)
                stack.callback(loop.remove_signal_handler, each)
        yield
