"""The commands that the documentation shows: each is read by the parser that will read it."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Iterator
from contextlib import chdir
from importlib.metadata import metadata
from pathlib import Path
from typing import Any, Never

import pytest
from packaging.requirements import Requirement
from typer.main import get_command, get_group

from pipecat_responses.cli.commands import app

ROOT = Path(__file__).parents[2]
_MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
_EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]
_SHELL = {"cd", "export", "git", "printf", "source"}
_BETWEEN = {"|", "||", "&&", "&", ";"}


class _ParsedError(Exception):
    """A program has read its arguments, which is as far as it goes."""


def read(block: str) -> Iterator[list[str]]:
    """The commands of a block, each as words, without comments and assignments of variables.

    Args:
        block: Lines for a shell.
    """
    for line in block.replace("\\\n", " ").splitlines():
        words: list[str] = []
        tokens = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        tokens.whitespace_split = True
        for word in [*tokens, ";"]:
            if word not in _BETWEEN:
                words.append(word)
            elif words:
                yield words
                words = []


def check(command: list[str], folder: Path) -> None:
    """Sees to it that a command can be given.

    Args:
        command: Its words.
        folder: Where files are that the page has saved.

    Raises:
        AssertionError: If a target, an extra or a file is not there, or nothing is known of the
            program.
        Exception: What the program's own parser raises.
    """
    while re.fullmatch(r"[A-Z_]+=.*", command[0]):
        command = command[1:]
        if not command:
            return
    program, *words = command
    match Path(program).name:
        case "make":
            _make(words)
        case "pip":
            _pip(words)
        case "pipecat-responses":
            _subcommand(words)
        case "python":
            _python(words, folder)
        case "pytest":
            for word in words:
                assert word.startswith("-") or _there(word, folder), word
        case "docker":
            assert _there(words[words.index("-f") + 1], folder), words
        case name:
            assert name in _SHELL, f"nothing is known of the command {name}"


def _there(name: str, folder: Path) -> bool:
    return (ROOT / name).exists() or (folder / name).exists()


def _make(words: list[str]) -> None:
    targets = [word for word in words if "=" not in word]
    given = dict(word.split("=", 1) for word in words if "=" in word)
    for target in targets:
        assert re.search(rf"^{target}( \w+)*:", _MAKEFILE, re.MULTILINE), f"make {target}"
    for name in given:
        assert f"$({name})" in _MAKEFILE or re.search(rf"^{name} \?=", _MAKEFILE, re.MULTILINE), (
            name
        )
    options = shlex.split(given.get("ARGS", ""))
    match targets:
        case ["chat" | "serve" as name]:
            _subcommand([name, *options])
        case ["voice"]:
            from examples.voice.__main__ import app as voice

            get_command(voice).make_context("voice", options)


def _pip(words: list[str]) -> None:
    assert words[0] == "install"
    for word in words[1:]:
        if word.startswith("-"):
            continue
        if match := re.fullmatch(r"\.(?:\[(.+)\])?", word):
            extras, known = (match[1] or "").split(","), {"", *_EXTRAS}
        else:
            wanted = Requirement(word)
            extras, known = list(wanted.extras), {*_EXTRAS}
            if wanted.name == "pipecat-ai":
                known = {*(metadata("pipecat-ai").get_all("Provides-Extra") or ())}
        assert {*extras} <= known, word


def _subcommand(words: list[str]) -> None:
    name, *options = words
    get_group(app).commands[name].make_context(name, options)


def _python(words: list[str], folder: Path) -> None:
    """Runs a program of the repository until it has read its arguments."""
    with pytest.MonkeyPatch.context() as patch:

        def parsed(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> Never:
            original(self, *args, **kwargs)
            raise _ParsedError

        original = argparse.ArgumentParser.parse_args
        patch.setattr(argparse.ArgumentParser, "parse_args", parsed)
        # A process has one, and other tests look at it.
        patch.setattr("opentelemetry.metrics.set_meter_provider", lambda _: None)
        if words[0] == "-m":
            patch.setattr(sys, "argv", words[1:])
            with pytest.raises(_ParsedError):
                runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        elif (folder / words[0]).exists():
            # The page has it run where it is shown.
            assert words[1:] == []
        else:
            patch.setattr(sys, "argv", words)
            patch.setattr(sys, "path", [str((ROOT / words[0]).parent), *sys.path])
            with pytest.raises(_ParsedError), chdir(ROOT):
                runpy.run_path(words[0], run_name="__main__")
