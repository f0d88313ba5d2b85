"""The chat at a terminal: what the screen of an emulated one holds."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import os
import pty
import select
import signal
import stat
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pyte
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from pipecat_responses.cli.chat import ChatOptions, chat
from pipecat_responses.cli.history import KEPT_BYTES, open_history
from pipecat_responses.cli.screen import Screen
from pipecat_responses.cli.terminal import Terminal
from pipecat_responses.sandbox import Sandbox, SandboxConfig

STORY_END = "nobody ever asked how it had got there."
ENTER, CTRL_C, CTRL_D, CTRL_U, UP = "\r", "\x03", "\x04", "\x15", "\x1b[A"


class Emulator(io.StringIO):
    """A terminal: takes what a program writes, and knows what a person sees."""

    def __init__(self, keys: PipeInput, columns: int = 40, rows: int = 40) -> None:
        super().__init__()
        self.type = keys.send_text
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self._changed = asyncio.Event()

    def write(self, text: str, /) -> int:
        self._stream.feed(text)
        return len(text)

    def flush(self) -> None:
        self._changed.set()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def lines(self) -> list[str]:
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def size(self) -> Size:
        return Size(rows=self._screen.lines, columns=self._screen.columns)

    def resize(self, columns: int) -> None:
        self._screen.resize(columns=columns)
        signal.raise_signal(signal.SIGWINCH)

    async def holds(self, condition: str | Callable[[list[str]], bool]) -> None:
        """Waits until the screen has a text, or is as a condition wants it."""
        try:
            async with asyncio.timeout(20):
                while not self._is(condition):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"This is what it holds:\n{self.text}")

    def _is(self, condition: str | Callable[[list[str]], bool]) -> bool:
        return condition in self.text if isinstance(condition, str) else condition(self.lines)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with create_pipe_input() as keys:
        emulator = Emulator(keys)
        output = Vt100_Output(emulator, emulator.size, term="xterm")
        with create_app_session(input=keys, output=output):
            yield emulator


@contextlib.asynccontextmanager
async def chatting(sandbox: Sandbox) -> AsyncIterator[asyncio.Task[int]]:
    """A chat at the terminal of the session, which has to be left."""
    async with Terminal(InMemoryHistory()) as terminal:
        options = ChatOptions(url=sandbox.base_url)
        screen = Screen(terminal, terminal, prompts=False)
        task = asyncio.create_task(chat(options, screen, terminal, live=True))
        try:
            yield task
        except BaseException:
            # Nobody leaves it any more.
            task.cancel()
            raise
        async with asyncio.timeout(20):
            await task


@pytest.fixture
async def slow() -> AsyncIterator[Sandbox]:
    async with Sandbox(SandboxConfig(tokens_per_second=100)) as sandbox:
        yield sandbox


async def test_who_ends_the_process_ends_the_chat(slow: Sandbox, emulator: Emulator) -> None:
    async with chatting(slow) as task:
        await emulator.holds("you>")
        emulator.type(f"count to 30{ENTER}")
        await emulator.holds("1, 2")
        signal.raise_signal(signal.SIGTERM)
        assert await task == 0
    assert "30" not in emulator.text.partition("bot>")[2]


async def test_the_bot_talks_above_the_line_that_is_typed_on(
    slow: Sandbox, emulator: Emulator
) -> None:
    async with chatting(slow) as task:
        await emulator.holds("you>")
        emulator.type(f"tell me a story{ENTER}")
        await emulator.holds("Once upon")
        emulator.type("half a quest")
        await emulator.holds(
            lambda lines: lines[-1] == "you> half a quest" and "steps" in str(lines)
        )
        emulator.type("ion")
        await emulator.holds("first text after")
        await emulator.holds(lambda lines: lines[-1] == "you> half a question")
        begin = emulator.lines.index("you> tell me a story") + 1
        end = next(
            at for at, line in enumerate(emulator.lines) if line.startswith("     websocket")
        )
        told = emulator.lines[begin:end]
        # Rows end between words, none is longer than the screen, and together they are the answer.
        answer = " ".join(told).removeprefix("bot> ")
        assert answer == slow.requests[-1].output[0]["content"][0]["text"]
        assert answer.endswith(STORY_END)
        emulator.type(f"{CTRL_U}/quit{ENTER}")
    assert task.result() == 0


async def test_a_wider_and_a_narrower_window(slow: Sandbox, emulator: Emulator) -> None:
    async with chatting(slow) as task:
        await emulator.holds("you>")
        emulator.type(f"tell me a story{ENTER}")
        await emulator.holds("steps")
        emulator.type("typed")
        for columns in (60, 30):
            emulator.resize(columns)
            await emulator.holds(lambda lines: lines[-1] == "you> typed")
        await emulator.holds("first text after")
        await emulator.holds(lambda lines: lines[-1] == "you> typed")
        assert sum(line.startswith("you> ") for line in emulator.lines) == 2
        emulator.type(CTRL_C)
    assert task.result() == 0


async def test_pasted_lines_are_one_message(sandbox: Sandbox, emulator: Emulator) -> None:
    async with chatting(sandbox):
        await emulator.holds("you>")
        emulator.type("\x1b[200~two lines\nin one message\x1b[201~")
        await emulator.holds("in one message")
        assert sandbox.requests == []
        emulator.type(ENTER)
        await emulator.holds("I remember 1 item.")
        emulator.type(CTRL_D)
    [request] = sandbox.requests
    assert request.history[0]["content"] == "two lines\nin one message"


async def test_ctrl_c_interrupts_and_then_leaves(slow: Sandbox, emulator: Emulator) -> None:
    async with chatting(slow) as task:
        await emulator.holds("you>")
        emulator.type(f"count to 90{ENTER}")
        await emulator.holds("1, 2, 3")
        emulator.type(CTRL_C)
        await emulator.holds("interrupted")
        assert "--" in emulator.text.split()
        assert not task.done()
        emulator.type(CTRL_C)
    assert task.result() == 0
    # The line is gone, and the shell's prompt begins a line of its own.
    assert not any(line.startswith("you>") for line in emulator.lines[-2:])


async def test_a_line_that_interrupts_stands_behind_what_it_interrupts(
    slow: Sandbox, emulator: Emulator
) -> None:
    async with chatting(slow):
        await emulator.holds("you>")
        emulator.type(f"count to 90{ENTER}")
        await emulator.holds("1, 2, 3")
        emulator.type(f"stop{ENTER}")
        await emulator.holds('You said: "stop".')
        # Ctrl-C would interrupt a turn that is not over yet.
        await emulator.holds(lambda lines: str(lines).count("websocket") == 2)
        text = " ".join(emulator.text.split())
        assert text.index(" --") < text.index("interrupted") < text.index("you> stop")
        emulator.type(UP)
        await emulator.holds(lambda lines: lines[-1] == "you> stop")
        emulator.type(UP)
        await emulator.holds(lambda lines: lines[-1] == "you> count to 90")
        emulator.type(CTRL_C)


# -- history --------------------------------------------------------------------------------------


@pytest.fixture
def history_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "pipecat-responses" / "history"


def test_the_history_is_its_owners_and_has_no_keys(history_file: Path) -> None:
    history = open_history(("my own secret",))
    for line in ("hello", "the key is sk-abcdefgh12345678", "it is my own secret", "two\nlines"):
        history.append_string(line)
    assert stat.S_IMODE(history_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(history_file.parent.stat().st_mode) == 0o700
    assert list(open_history().load_history_strings()) == ["two\nlines", "hello"]


def test_a_long_history_keeps_its_end(history_file: Path) -> None:
    history = open_history()
    for number in range(700):
        history.append_string(f"{number} {'x' * 1000}")
    kept = list(open_history().load_history_strings())
    assert history_file.stat().st_size <= KEPT_BYTES
    assert [line.split()[0] for line in kept] == [str(699 - at) for at in range(len(kept))]
    assert 100 < len(kept) < 300


def test_a_history_that_cannot_be_written_is_forgotten(history_file: Path) -> None:
    history_file.parent.parent.write_text("in the way")
    assert isinstance(open_history(), InMemoryHistory)


# -- as processes ---------------------------------------------------------------------------------


class Process:
    """The command at a real pseudo-terminal."""

    def __init__(self, folder: Path, term: str) -> None:
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
                os.environ.pop(name, None)
            os.environ.update(TERM=term, XDG_STATE_HOME=str(folder))
            os.execv(sys.executable, [sys.executable, "-m", "pipecat_responses", "chat"])
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        self.shown = b""

    def shows(self, text: bytes) -> None:
        while text not in self.shown:
            ready, _, _ = select.select([self._terminal], [], [], 40)
            assert ready, f"{text!r} does not come: {self.shown!r}"
            self.shown += os.read(self._terminal, 4096)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def end(self) -> int:
        with contextlib.suppress(OSError):
            # The terminal goes with the last one who has it.
            while data := os.read(self._terminal, 4096):
                self.shown += data
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def test_a_real_terminal(tmp_path: Path) -> None:
    chat = Process(tmp_path, "xterm-256color")
    chat.shows(b"you> ")
    chat.type(f"count to 60{ENTER}")
    chat.shows(b"3,")
    chat.type(CTRL_C)
    chat.shows(b"interrupted")
    chat.type(f"/quit{ENTER}")
    assert chat.end() == 0
    assert b"+count to 60\n" in (tmp_path / "pipecat-responses" / "history").read_bytes()


def test_ctrl_d_before_the_prompt_leaves_after_what_was_typed_before_it(tmp_path: Path) -> None:
    chat = Process(tmp_path, "xterm-256color")
    chat.type(f"hello\n{CTRL_D}")
    chat.shows(b"you> ")
    assert chat.end() == 0
    assert b"hello" in chat.shown


def test_a_terminal_that_can_do_nothing(tmp_path: Path) -> None:
    chat = Process(tmp_path, "dumb")
    chat.shows(b"you> ")
    chat.type("hello\n")
    chat.shows(b"first text after")
    chat.type("/quit\n")
    assert chat.end() == 0
    assert b"\x1b[" not in chat.shown
