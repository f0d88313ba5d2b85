"""What a page of the documentation shows is done: Sybil finds its blocks, and a page does them.

- Python runs, one block after the other in one namespace, and `await` may stand at the top. A block
  with a title (```` ```python title="bot.py" ````) is a script of its own, and one with tests is a
  file for pytest. JSON and scenarios with a title are files, too.
- Commands are read by their own parsers (`commands.py`), and `pytest` runs.
- A block of the kind `text` is what the block before it prints, numbers apart; `...` is whatever
  stands there.
- A scenario is played, a `diff` runs as before and as after, JSON is read.

What a block needs and no reader has to see stands before it, in a comment that begins with
`<!-- invisible-code-block: python`; `enter`, `patch` and `pytest_options` are there for it. A
function that a block defines has to be called, be it by such a comment behind it, and no error may
be logged, which is what becomes of one in an event handler. What cannot be done has its reason in
another comment: `<!-- skip: next "reason" -->`.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import json
import re
import runpy
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from unittest import SkipTest

import pytest
from loguru import logger
from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown import SkipParser
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer, RawFencedCodeBlockLexer

from pipecat_responses.sandbox import Sandbox
from tests.docs import commands

_INFO = re.compile(r'(?P<kind>\S*)(?: title="(?P<title>[^"]+)")?[^\n]*$\n', re.MULTILINE)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_UNREASONED = (("next", None), ("start", None))
_PYTEST = ("-q", "--import-mode=importlib", "-p", "no:cacheprovider", "-p", "no:randomly")


class Page:
    """A page, done from its first block to its last.

    Args:
        path: The page.
        folder: Where the files go that it has saved.
        mode: The mode of pytest-asyncio.
    """

    def __init__(self, path: Path, folder: Path, mode: str = "strict") -> None:
        parsers = (self._fenced, self._hidden, SkipParser())
        self._document = Sybil(parsers).parse(path)
        self._folder = folder
        self._mode = mode
        self._loop = asyncio.Runner()
        self._open = AsyncExitStack()
        self._names = self._document.namespace
        self._patch = pytest.MonkeyPatch()
        self._options: list[str] = []
        self._names |= {
            "enter": self._open.enter_async_context,
            "patch": self._patch,
            "pytest_options": self._options,
        }
        self._printed: str | None = None
        self._tests: list[Path] = []
        self._defined: set[str] = set()
        self._called: set[str] = set()
        self._names["__called__"] = self._called
        self._logged: list[str] = []
        self._sink = logger.add(self._logged.append, level="ERROR", format="{message}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._loop.run(self._open.aclose())
        finally:
            self._loop.close()
            self._patch.undo()
            # A command that ran has removed it.
            with contextlib.suppress(ValueError):
                logger.remove(self._sink)

    def do(self) -> None:
        """Does each block, and runs the tests of the page.

        Raises:
            Exception: Whatever is wrong with a block; a note names its line.
        """
        for example in self._document:
            try:
                assert example.parsed not in _UNREASONED, "left out without a reason"
                with contextlib.suppress(SkipTest):
                    example.evaluate()
            except (Exception, SystemExit) as error:
                error.add_note(f"{self._document.path}:{example.line}")
                raise
        self._loop.run(self._open.aclose())
        assert self._defined <= self._called, f"never called: {self._defined - self._called}"
        assert not self._logged, f"logged was: {self._logged}"
        if self._tests:
            self._test(*self._tests)

    def _test(self, *files: Path) -> None:
        """Runs pytest in this process."""
        settings = (
            f"asyncio_mode = {self._mode}",
            "asyncio_default_fixture_loop_scope = function",
            "pythonpath = .",
        )
        (self._folder / "pytest.ini").write_text("\n".join(["[pytest]", *settings]), "utf-8")
        printed, before = io.StringIO(), len(self._logged)
        with contextlib.chdir(self._folder), contextlib.redirect_stdout(printed):
            status = pytest.main([*_PYTEST, *self._options, *map(str, files)])
        self._printed = printed.getvalue()
        assert status == 0, self._printed
        # Tests may be about errors.
        del self._logged[before:]
        self._tests = [file for file in self._tests if file not in files]

    def _fenced(self, document: Document) -> Iterator[Region]:
        for region in RawFencedCodeBlockLexer(_INFO)(document):
            region.parsed = str(region.lexemes["source"])
            region.evaluator = self._block
            yield region

    def _hidden(self, document: Document) -> Iterator[Region]:
        for region in DirectiveInHTMLCommentLexer("invisible-code-block", "python")(document):
            region.parsed = str(region.lexemes["source"])
            region.evaluator = self._prepare
            yield region

    def _block(self, example: Example) -> None:
        kind, title = (example.region.lexemes[name] for name in ("kind", "title"))
        block = example.parsed
        match kind:
            case "python" if title or "def test_" in block:
                self._file(title or f"test_line_{example.line}.py", block)
            case "python":
                tree = _tree(example)
                self._defined |= _noting(tree)
                self._run(example, tree)
            case "text":
                assert self._printed is not None, "nothing has printed this"
                assert _shape(block, self._printed), f"printed was:\n{self._printed}"
            case "console":
                for command in commands.read(block):
                    commands.check(command, self._folder)
                    if command[0] == "pytest":
                        self._test(*(self._folder / name for name in command[1:] if name[0] != "-"))
            case "diff":
                for side in "-+":
                    lines = [line for line in block.splitlines() if line[0] in (" ", side)]
                    exec("\n".join(line[1:] for line in lines), {})
            case "json":
                json.loads(block)
                if title:
                    (self._folder / title).write_text(block, "utf-8")
            case "yaml":
                file = self._folder / (title or "scenario.yaml")
                file.write_text(block, "utf-8")
                Sandbox().play(file)
            case _:
                raise AssertionError(f"nothing is known of blocks of the kind {kind!r}")

    def _file(self, name: str, code: str) -> None:
        file = self._folder / name
        file.write_text(code, "utf-8")
        if "def test_" in code:
            self._tests.append(file)
            return
        with self._printing(), contextlib.chdir(self._folder):
            runpy.run_path(str(file), run_name="__main__")

    def _prepare(self, example: Example) -> None:
        self._run(example, _tree(example))

    def _run(self, example: Example, tree: ast.Module) -> None:
        code = compile(
            tree,
            example.path,
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        with self._printing(), contextlib.chdir(self._folder):
            if code.co_flags & inspect.CO_COROUTINE:
                self._loop.run(eval(code, self._names))
            else:
                exec(code, self._names)

    @contextlib.contextmanager
    def _printing(self) -> Iterator[None]:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            yield
        self._printed = printed.getvalue() or None


def _tree(example: Example) -> ast.Module:
    """The code of a block, with the page's numbers of lines."""
    tree = ast.parse(str(example.parsed))
    ast.increment_lineno(tree, example.line)
    return tree


def _noting(tree: ast.Module) -> set[str]:
    """Has each function note that it was called, and gives what they note."""
    noted = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{node.name}, line {node.lineno}"
            noted.add(name)
            [note] = ast.parse(f"__called__.add({name!r})").body
            for part in ast.walk(note):
                ast.copy_location(part, node)
            # Pipecat reads what stands first in a function: its docstring.
            node.body.insert(ast.get_docstring(node) is not None, note)
    return noted


def _shape(wanted: str, printed: str) -> bool:
    """Whether two texts say the same, but for numbers and the rows they are broken into."""
    want, got = (_NUMBER.sub("0", text) for text in (wanted, printed))
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(want, got, options)
