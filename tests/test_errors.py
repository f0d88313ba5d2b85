"""Every error that people meet has a name, and every name its section."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger
from typer.testing import CliRunner

import pipecat_responses
from pipecat_responses import OpenAIResponsesLLMService
from pipecat_responses.cli.commands import app
from pipecat_responses.cli.explain import sections
from pipecat_responses.context.errors import ContextMessageError
from pipecat_responses.protocol.errors import MidResponseLossError, ResponsesError
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.names import NAMES, ErrorName, hint, noted_name
from pipecat_responses.sandbox import Fault, Sandbox
from tests.faults.support import talking

ROOT = Path(pipecat_responses.__file__).parent

NAMED = {
    "ConnectionLostError",
    "ContextMessageError",
    "MidResponseLossError",
    "ResponsesError",
    "SessionFileError",
    "UnusableError",
    "named",
}
"""What has a name by its class, or is given one."""

NOBODY_MEETS = {
    "__init__.py": "an attribute that is not there, as Python says it",
    "cli/__init__.py": "becomes the sentence that names the extra",
    "cli/arithmetic.py": "the answer of a tool, which the model reads",
    "context/captured.py": "becomes a ContextMessageError",
    "context/messages.py": "becomes a ContextMessageError",
    "context/wires.py": "becomes a ContextMessageError",
    "transport/http_client.py": "what the SDK makes an error of its own of",
    "transport/proxies.py": "becomes another error, with the variable's or argument's name",
}
"""Where other errors are raised, and why nobody meets those."""

FOR_TESTS = ("sandbox", "testing")
"""What says itself what is wrong with a test."""


def raised() -> Iterator[tuple[str, ast.expr]]:
    """What is raised where, re-raised errors aside."""
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(FOR_TESTS):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                yield name, node.exc


def called(call: ast.expr) -> str:
    assert isinstance(call, ast.Call)
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


class TestTheInventory:
    def test_every_error_has_a_name(self) -> None:
        places = set()
        for name, call in raised():
            kind = called(call)
            if kind in NAMED or not (kind.endswith("Error") or kind == "Exception"):
                # Functions that make errors, and the command line's exit.
                continue
            places.add(name)
            assert name in NOBODY_MEETS, f"{name} raises a {kind} without a name"
        assert places == set(NOBODY_MEETS)

    def test_every_name_is_given(self) -> None:
        sources = [path.read_text() for path in ROOT.rglob("*.py") if path.name != "names.py"]
        for name in ErrorName:
            assert any(f"ErrorName.{name.name}" in source for source in sources), name

    def test_every_name_has_its_section(self) -> None:
        assert set(sections()) == set(NAMES)

    def test_every_section_says_what_it_means_and_what_to_do(self) -> None:
        for name, text in sections().items():
            assert len(text.split("\n\n")) >= 1 + (name != ErrorName.SOCKS), name
            assert text.rstrip().endswith("."), name

    @pytest.mark.parametrize("failure", Failure)
    def test_a_failure_is_explained_in_the_same_words_everywhere(self, failure: Failure) -> None:
        assert sections()[failure].startswith(f"{failure.explanation}\n\n")


class TestNames:
    def test_of_failures(self) -> None:
        error = ResponsesError("no", status=429)
        assert error.name == "rate_limit"
        assert error.rewritten(kind=MidResponseLossError).name == "mid_response_loss"
        assert ContextMessageError(0, "user", "it is").name == "context_message"

    def test_a_traceback_ends_with_who_knows_more(self) -> None:
        with pytest.raises(ValueError, match="coverage") as caught:
            OpenAIResponsesLLMService(api_key="sk-test", coverage="most")  # type: ignore[arg-type]
        assert str(caught.value) == 'coverage must be "words" or "exact", not \'most\''
        assert noted_name(caught.value) == "argument"
        shown = "".join(traceback.format_exception(caught.value)).splitlines()
        assert shown[-1] == hint("argument")

    async def test_the_log_says_who_knows_more(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("error", "request", params={"status": 401}))
        log = io.StringIO()
        sink = logger.add(log, level="INFO", format="{message}")
        try:
            async with talking(sandbox, "websocket") as talk:
                (error,) = (await talk.turn("count to 3")).errors
        finally:
            logger.remove(sink)
        assert log.getvalue().count(hint("authentication")) == 1
        # What goes through the pipeline has the words only.
        assert "explain" not in error.error


class TestTheCommand:
    @pytest.mark.parametrize("name", NAMES)
    def test_explains(self, name: str) -> None:
        told = CliRunner().invoke(app, ["explain", name], env={"COLUMNS": "80"})
        assert told.exit_code == 0
        first = sections()[name].split()[0].strip("`*")
        assert name in told.output
        assert first in told.output

    def test_names_all(self) -> None:
        assert set(CliRunner().invoke(app, ["explain"]).output.split()) == set(NAMES)

    def test_helps_with_the_spelling(self) -> None:
        told = CliRunner().invoke(app, ["explain", "rate-limit"])
        assert told.exit_code == 1
        assert "Did you mean rate_limit?" in told.output

    def test_needs_no_pipecat(self) -> None:
        code = (
            "import sys; from pipecat_responses.cli.commands import app\n"
            "try: app(['explain', 'model'])\n"
            "except SystemExit: pass\n"
            "assert 'pipecat' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    @pytest.mark.parametrize(
        ("arguments", "name"),
        [
            (["doctor", "--url", "nowhere"], "address"),
            (["serve", "--replay", "/no/such/file"], "file"),
            (["record", "--to", "/no/such/folder/file", "--port", "0"], "file"),
        ],
        ids=["doctor", "serve", "record"],
    )
    def test_commands_say_who_knows_more(self, arguments: list[str], name: str) -> None:
        done = CliRunner().invoke(app, arguments, input="")
        assert done.exit_code == 1
        assert done.output.splitlines()[-1] == hint(name)

    def test_the_chat_says_who_knows_more(self) -> None:
        command = [sys.executable, "-m", "pipecat_responses", "chat", "--url", "nowhere"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, input="")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == hint("address")
