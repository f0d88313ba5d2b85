"""A person's terminal: a line to type on, and above it what is said.

The line is there all the time. What is written goes above it, wrapped between words: rows that are
full become part of the terminal's own history, and the one that is not yet full is drawn together
with the line below it. So nothing that is typed is torn by what is said meanwhile, and what has
scrolled away is only text.
"""

from __future__ import annotations

import asyncio
import io
import signal
from types import TracebackType

from prompt_toolkit.application import Application, get_app_session
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.layout.containers import ConditionalContainer, HSplit, Window
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
from prompt_toolkit.layout.layout import Layout
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.widgets import SearchToolbar
from rich.console import Console
from rich.text import Text


class Terminal:
    """Lines that are typed, and text above them, for ``async with``."""

    def __init__(self, history: History) -> None:
        """Prepares it; nothing is shown before the first ``next`` or ``write``.

        Args:
            history: Earlier lines, for the arrow keys and Ctrl-R.
        """
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._row = Text()
        # Only turns text into escape sequences; what is shown goes to the output below.
        self._painter = Console(file=io.StringIO(), force_terminal=True, legacy_windows=False)
        self._buffer = Buffer(history=history, multiline=True, accept_handler=self._accept)
        self._running: asyncio.Task[None] | None = None
        output = get_app_session().output
        if isinstance(output, Vt100_Output):
            # Where the cursor is, is needed for menus only; and the answer would be waited for.
            output.enable_cpr = False
        self._app: Application[None] = Application(
            Layout(self._layout()),
            key_bindings=self._keys(),
            output=output,
            erase_when_done=True,
        )
        self._caught_up = False
        self._app.key_processor.before_key_press += self._on_key

    async def __aenter__(self) -> Terminal:
        """Nothing to do yet."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Takes the line away and gives the terminal back as it was."""
        running, self._running = self._running, None
        if running is not None:
            if self._app.is_running and not running.done():
                self._app.exit()
            await asyncio.wait({running})
        if self._row:
            self.write("\n")
        if running is not None and not running.cancelled():
            failed = running.exception()
            # The terminal has gone, which `next` has told.
            if failed is not None and not isinstance(failed, EOFError):
                raise failed

    async def next(self) -> str | None:
        """The next line that was typed, or text that was pasted; None once the user leaves."""
        if self._running is None:
            self._running = asyncio.create_task(
                self._app.run_async(handle_sigint=False, set_exception_handler=False)
            )
            self._running.add_done_callback(lambda _: self._lines.put_nowait(None))
        return await self._lines.get()

    def write(self, text: str, style: str = "") -> None:
        """Shows text above the line.

        Args:
            text: The text, of which the last row need not be complete.
            style: A style of Rich's.
        """
        self._row.append(text, style)
        *whole, begun = self._row.split(allow_blank=True)
        rows = [row for line in whole for row in self._indented(line)]
        *full, self._row = self._wrapped(begun)
        rows += full
        if rows:
            if self._app.is_running:
                self._app.renderer.erase()
            for row in rows:
                self._app.output.write_raw(f"{self._painted(row)}\r\n")
            self._app.output.flush()
        self._app.invalidate()

    def _wrapped(self, line: Text) -> list[Text]:
        """A line in rows as wide as the terminal is now."""
        return list(line.wrap(self._painter, self._width)) or [Text()]

    def _indented(self, line: Text) -> list[Text]:
        """A complete line in rows; all of them stand where its first word does."""
        indent = min(len(line.plain) - len(line.plain.lstrip(" ")), self._width // 2)
        rows = list(line[indent:].wrap(self._painter, self._width - indent)) or [Text()]
        for row in rows:
            row.pad_left(indent)
        return rows

    @property
    def _width(self) -> int:
        return self._app.output.get_size().columns

    def _painted(self, row: Text) -> str:
        with self._painter.capture() as painted:
            self._painter.print(row, end="", soft_wrap=True)
        return painted.get()

    def _layout(self) -> HSplit:
        search = SearchToolbar()
        row = FormattedTextControl(lambda: ANSI(self._painted(self._row)))
        line = BufferControl(
            self._buffer,
            input_processors=[BeforeInput("you> ", style="bold ansigreen")],
            search_buffer_control=search.control,
        )
        return HSplit(
            [
                ConditionalContainer(
                    Window(row, wrap_lines=True, dont_extend_height=True),
                    Condition(lambda: bool(self._row)),
                ),
                Window(line, wrap_lines=True, dont_extend_height=True),
                search,
            ]
        )

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        typing = has_focus(self._buffer)

        @keys.add("enter", filter=typing)
        def _(_: KeyPressEvent) -> None:
            self._buffer.validate_and_handle()

        @keys.add("c-c", filter=typing)
        def _(_: KeyPressEvent) -> None:
            # Here it is a key like others; elsewhere it is a signal, and that the chat knows.
            signal.raise_signal(signal.SIGINT)

        empty = typing & Condition(lambda: not self._buffer.text)

        # What was typed before the line was there, the terminal has taken for lines, and Ctrl-D for
        # their end, which it hands on as NUL.
        @keys.add("c-@", filter=empty & Condition(lambda: not self._caught_up))
        @keys.add("c-d", filter=empty)
        def _(_: KeyPressEvent) -> None:
            self._lines.put_nowait(None)

        @keys.add("c-z", filter=Condition(lambda: hasattr(signal, "SIGTSTP")))
        def _(_: KeyPressEvent) -> None:
            self._app.suspend_to_background()

        return keys

    def _on_key(self, _: object) -> None:
        # What was typed before comes all at once, so what the loop does next comes after it.
        if not self._caught_up:
            asyncio.get_running_loop().call_soon(self._catch_up)

    def _catch_up(self) -> None:
        self._caught_up = True

    def _accept(self, buffer: Buffer) -> bool:
        self._lines.put_nowait(buffer.text)
        # What was typed is shown by who takes it; the line is empty again.
        return False
