"""What the chat shows: plain lines in a pipe, a little less plain in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

from pipecat_responses.protocol.names import hint

_NO_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """A text without control characters: a model's words must not steer the terminal."""
    return text.translate(_NO_CONTROLS)


class Output(Protocol):
    """Where text goes."""

    def write(self, text: str, style: str = "") -> None:
        """Shows text in a style of Rich's; the last line need not be complete."""


class OutputConsole(Console):
    """Tells of a pipe that is closed as any file does; Rich's own ends the process where it is."""

    def on_broken_pipe(self) -> None:
        """Raises the error that is being handled."""
        raise


class Stream:
    """A file, a pipe, or a terminal that is written on like one."""

    def __init__(self, console: Console) -> None:
        """Takes the console that writes to it."""
        self._console = console

    def write(self, text: str, style: str = "") -> None:
        """Shows text in a style of Rich's; the last line need not be complete."""
        self._console.print(Text(text, style=style, end=""), end="", soft_wrap=True)


class Screen:
    """The chat's output.

    Attributes:
        prompts: Whether the terminal itself shows what the user types, so that a prompt is written
            before it and it is not repeated.
    """

    def __init__(self, out: Output, err: Output, *, prompts: bool) -> None:
        """Creates it.

        Args:
            out: Where the conversation goes.
            err: Where failures go.
            prompts: Whether the terminal itself shows what the user types.
        """
        self._out = out
        self._err = err
        self.prompts = prompts
        self._open = False

    def prompt(self) -> None:
        """Invites the user to type."""
        if self.prompts:
            self._write("you> ", style="bold green")

    def user(self, text: str) -> None:
        """Shows what the user said, where it is not to be seen anyway."""
        if not self.prompts:
            self._write("you> ", style="bold green")
            self._write(f"{printable(text)}\n")

    def end_prompt(self) -> None:
        """Ends the line of a prompt that was not answered."""
        if self.prompts:
            self._write("\n")

    def bot(self, text: str) -> None:
        """Shows the next words of the bot."""
        if not self._open:
            self._open = True
            self._write("bot> ", style="bold cyan")
        self._write(printable(text))

    def tool(self, name: str, arguments: Mapping[str, Any], result: Any) -> None:
        """Shows what a tool did."""
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        self.note(f"{name}({given}) = {result}")

    def note(self, text: str) -> None:
        """Shows a remark that is not part of the conversation."""
        self.close_line()
        one_line = " ".join(printable(text).split())
        self._write(f"     {one_line}\n", style="dim")

    def typed(self) -> None:
        """The user has typed a line while the bot talked, which may have ended the bot's line."""
        if self.prompts:
            self._open = False

    def cut(self) -> None:
        """Marks the word at which the bot was interrupted."""
        if self._open:
            self._write(" --", style="bold red")
        self.close_line()

    def failure(self, sentence: str, name: str | None = None) -> None:
        """Says what went wrong, in a sentence, on stderr, and who knows more.

        Args:
            sentence: What went wrong.
            name: The error's name, if it has one.
        """
        self.close_line()
        one_line = " ".join(printable(sentence).split())
        self._err.write(f"{one_line}\n", style="red")
        if name is not None:
            self._err.write(f"{hint(name)}\n", style="dim")

    def help(self, text: str) -> None:
        """Shows lines as they are."""
        self.close_line()
        self._write(f"{text}\n")

    def close_line(self) -> None:
        """Ends the bot's line, if it is open."""
        if self._open:
            self._open = False
            self._write("\n")

    def _write(self, text: str, style: str = "") -> None:
        self._out.write(text, style)
