from __future__ import annotations

import asyncio
import contextlib
import io
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.main import get_group
from typer.testing import CliRunner

from pipecat_responses.cli.arithmetic import calculate_text
from pipecat_responses.cli.chat import ChatOptions, chat
from pipecat_responses.cli.commands import app
from pipecat_responses.cli.failures import UnusableError
from pipecat_responses.cli.lines import Lines
from pipecat_responses.cli.screen import Screen, Stream, printable
from pipecat_responses.cli.target import Transport, find_target
from pipecat_responses.protocol.names import NAMES, hint
from pipecat_responses.sandbox import Fault, Sandbox, SandboxConfig

COMMAND = [sys.executable, "-m", "pipecat_responses.cli"]
TRANSPORTS = ("websocket", "http")
STORY_END = "nobody ever asked how it had got there."


class Script:
    """Lines that come when a condition holds, as a person types them."""

    def __init__(self, *steps: str | Callable[[], bool]) -> None:
        self._steps = list(steps)

    async def next(self) -> str | None:
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, str):
                return step
            async with asyncio.timeout(20):
                while not step():  # noqa: ASYNC110 - there is no event for what a screen shows
                    await asyncio.sleep(0.005)
        return None


def sentence_of(complaint: Sequence[str]) -> str:
    """The sentence of a complaint, behind which is said who knows more."""
    sentence, more = complaint
    assert more.removeprefix(hint("")) in NAMES
    return sentence


class Output:
    """What a chat shows."""

    def __init__(self, *, live: bool) -> None:
        self._out, self._err = io.StringIO(), io.StringIO()
        self.screen = Screen(
            Stream(Console(file=self._out, width=80)),
            Stream(Console(file=self._err, width=80)),
            prompts=live,
        )

    @property
    def out(self) -> str:
        return self._out.getvalue()

    @property
    def err(self) -> list[str]:
        return self._err.getvalue().splitlines()

    def shows(self, text: str) -> Callable[[], bool]:
        return lambda: text in self.out


async def talk(
    *steps: str | Callable[[], bool],
    output: Output | None = None,
    live: bool = False,
    **options: Any,
) -> tuple[int, Output]:
    shown = output or Output(live=live)
    async with asyncio.timeout(40):
        status = await chat(
            ChatOptions(**options),
            shown.screen,
            Script(*steps),
            live=live,
        )
    return status, shown


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        # Empty is as good as not set, and no .env of a developer's comes in its place.
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("NO_COLOR", "1")


@contextlib.asynccontextmanager
async def slow_sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(SandboxConfig(tokens_per_second=50)) as sandbox:
        yield sandbox


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- conversations --------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_each_line_is_a_turn(transport: str) -> None:
    status, output = await talk("hello", "", "bye", transport=transport)
    assert status == 0
    assert output.err == []
    assert "sandbox" in output.out.splitlines()[0]
    assert 'you> hello\nbot> You said: "hello". I remember 1 item.\n' in output.out
    assert 'you> bye\nbot> You said: "bye". I remember 3 items.\n' in output.out


async def test_the_second_turn_is_incremental() -> None:
    _, output = await talk("hello", "bye")
    first, second = [line for line in output.out.splitlines() if "websocket" in line]
    report = r"websocket \| {} \| 1 item, \d+ bytes \| first text after \d+ ms"
    assert re.fullmatch(report.format(r"full \(first\)"), first.strip())
    assert re.fullmatch(report.format("incremental"), second.strip())


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_tools_are_shown_and_their_results_spoken(transport: str) -> None:
    status, output = await talk("what time is it?", "2 * (3 + 4)", transport=transport)
    assert status == 0
    assert "current_time() = " in output.out
    assert "bot> current_time says" in output.out
    assert re.search(r"calculate\(expression='.*'\) = \d+", output.out)
    assert "last of 2 requests" in output.out


async def test_a_person_sees_a_prompt_and_not_the_own_words_again() -> None:
    output = Output(live=True)
    await talk("hello", output.shows("remember"), output=output, live=True)
    assert "you> bot>" in output.out
    assert "you> hello" not in output.out


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_cut_lets_the_next_answer_break_off_and_the_bot_finish_it(transport: str) -> None:
    status, output = await talk("/cut", "tell me a story", transport=transport)
    assert status == 0
    assert output.err == []
    assert "will be cut in the middle of the next answer" in output.out
    assert "broke off and was resumed" in output.out
    answer = output.out.partition("bot> ")[2].partition("\n")[0]
    assert answer.startswith("Once upon a time, a lighthouse keeper named Ada")
    assert answer.endswith(STORY_END)
    assert answer.count("lighthouse keeper") == 1


async def test_cut_while_the_bot_talks_cuts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output(live=True)
    status, _ = await talk(
        "count to 60",
        output.shows("1, 2, 3"),
        "/cut",
        output.shows("resumed"),
        output=output,
        live=True,
    )
    assert status == 0
    assert "The connection has been cut." in output.out
    numbers = [int(number) for number in re.findall(r"(\d+)[,.](?= |\n)", output.out)]
    assert numbers[:60] == list(range(1, 61))


async def test_cut_needs_the_sandbox(sandbox: Sandbox) -> None:
    status, output = await talk("/cut", "hello", url=sandbox.base_url)
    assert status == 0
    assert "works with the sandbox only" in output.out
    assert "I remember 1 item." in output.out


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_ctrl_c_interrupts_and_the_context_keeps_what_was_heard(transport: str) -> None:
    output = Output(live=True)

    def ctrl_c() -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return True

    async with slow_sandbox() as sandbox:
        status, _ = await talk(
            "count to 100",
            output.shows("1, 2, 3"),
            ctrl_c,
            output.shows("interrupted"),
            "and now?",
            output.shows("remember"),
            output=output,
            live=True,
            url=sandbox.base_url,
            transport=transport,
        )
        said = [item for item in sandbox.requests[-1].history if item.get("role") == "assistant"]
    assert status == 0
    assert " --\n" in output.out
    assert "100." not in output.out
    assert len(said) == 1
    assert "1, 2, 3" in str(said[0]["content"])
    assert "100" not in str(said[0]["content"])


async def test_ctrl_c_leaves_when_the_bot_is_silent() -> None:
    output = Output(live=True)

    def ctrl_c() -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return True

    status, _ = await talk(
        "hello", output.shows("ms"), ctrl_c, lambda: False, output=output, live=True
    )
    assert status == 0


async def test_words_typed_while_the_bot_talks_interrupt_it() -> None:
    output = Output(live=True)
    async with slow_sandbox() as sandbox:
        status, _ = await talk(
            "count to 100",
            output.shows("1, 2, 3"),
            "stop",
            output.shows("remember"),
            output=output,
            live=True,
            url=sandbox.base_url,
        )
    assert status == 0
    assert "interrupted |" in output.out
    assert 'bot> You said: "stop".' in output.out


async def test_ctrl_d_leaves_while_the_bot_talks() -> None:
    output = Output(live=True)
    async with slow_sandbox() as sandbox:
        status, _ = await talk(
            "count to 100",
            output.shows("1, 2, 3"),
            output=output,
            live=True,
            url=sandbox.base_url,
        )
    assert status == 0


async def test_commands() -> None:
    status, output = await talk("/help", "/nonsense", "/quit", "never said")
    assert status == 0
    assert "leave when it is silent" in output.out
    assert "There is no command /nonsense" in output.out
    assert "never said" not in output.out


# -- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_wrong_key(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-0123456789")
    async with Sandbox(SandboxConfig(api_keys={"sk-right-0123456789"})) as sandbox:
        status, output = await talk("hello", transport=transport, url=sandbox.base_url)
    assert status == 1
    sentence = sentence_of(output.err)
    assert sentence.endswith("refuses the API key: set OPENAI_API_KEY to one that is valid.")
    assert "sk-wrong" not in output.out + sentence


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_no_key_where_one_is_needed(transport: str) -> None:
    async with Sandbox(SandboxConfig(api_keys={"sk-right-0123456789"})) as sandbox:
        status, output = await talk("hello", transport=transport, url=sandbox.ws_url)
    assert status == 1
    sentence = sentence_of(output.err)
    assert sentence.endswith("asks for an API key: set OPENAI_API_KEY.")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_unknown_model(transport: str, sandbox: Sandbox) -> None:
    status, output = await talk("hello", transport=transport, url=sandbox.base_url, model="gpt-no")
    assert status == 1
    sentence = sentence_of(output.err)
    assert sentence.endswith("does not know the model 'gpt-no': choose another one with --model.")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_closed_port(transport: str) -> None:
    status, output = await talk(
        "hello", transport=transport, url=f"http://127.0.0.1:{free_port()}/v1"
    )
    assert status == 1
    sentence = sentence_of(output.err)
    assert "cannot be reached" in sentence
    assert sentence.endswith("check the address, and that the server is running.")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_path_that_is_no_responses_api(transport: str, sandbox: Sandbox) -> None:
    url = sandbox.base_url.replace("/v1", "/v7")
    status, output = await talk("hello", transport=transport, url=url)
    assert status == 1
    sentence = sentence_of(output.err)
    assert sentence.startswith("There is no Responses API at")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("url", ["ftp://example.com", "example.com", "http://", "http://[x", ""])
async def test_an_address_that_is_none(transport: str, url: str) -> None:
    status, output = await talk("hello", transport=transport, url=url)
    assert status == 1
    sentence = sentence_of(output.err)
    assert "is no address of a server: take one that begins with wss://" in sentence


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_clear_text_to_another_machine(transport: str) -> None:
    status, output = await talk("hello", transport=transport, url="http://example.com/v1")
    assert status == 1
    sentence = sentence_of(output.err)
    assert "in clear text: use" in sentence


async def test_a_turn_that_fails_later_does_not_end_the_chat(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("error", skip=1, params={"status": 413, "code": "too_much"}))
    status, output = await talk("one", "two", "three", url=sandbox.base_url)
    assert status == 1
    sentence_of(output.err)
    assert 'You said: "three".' in output.out


async def test_an_answer_that_cannot_be_finished_does_not_end_the_chat() -> None:
    async with Sandbox() as sandbox:
        output = Output(live=False)
        broken = Fault("reset", "text", after=3)
        refused = Fault("error", params={"status": 400, "code": "invalid_prompt"}, skip=1)
        sandbox.faults.add(broken, refused)
        status, _ = await talk("count to 9", "hello", output=output, url=sandbox.base_url)
    assert status == 1
    sentence_of(output.err)
    assert 'You said: "hello".' in output.out


@pytest.mark.parametrize(
    ("transport", "url", "address"),
    [
        ("websocket", "https://host/v1", "wss://host/v1/responses"),
        ("websocket", "https://host/v1/", "wss://host/v1/responses"),
        ("websocket", "wss://host/v1/responses", "wss://host/v1/responses"),
        ("websocket", "http://[::1]:80/v1?a=b", "ws://[::1]:80/v1/responses?a=b"),
        ("http", "wss://host/v1/responses", "https://host/v1"),
        ("http", "http://localhost:1234/v1", "http://localhost:1234/v1"),
    ],
)
def test_any_scheme_fits_any_transport(transport: Transport, url: str, address: str) -> None:
    assert find_target(transport, url, None).url == address


def test_openai_is_the_default_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-something")
    target = find_target("websocket", None, None)
    assert target.url is None
    assert target.where == "https://api.openai.com/v1"
    with pytest.raises(UnusableError):
        find_target("websocket", "nowhere", None)


# -- the commands as processes --------------------------------------------------------------------


def run(*arguments: str, lines: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_piped_chat() -> None:
    done = run("chat", lines=["hello", "what time is it?"])
    assert done.returncode == 0
    assert done.stdout.count("bot> ") == 2
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--port", "0"),
        pytest.param(("chat",), marks=pytest.mark.long_calls),
        pytest.param(("doctor", "--url", "http://127.0.0.1:9/v1"), marks=pytest.mark.long_calls),
    ],
)
def test_a_reader_who_has_gone_is_no_failure_to_tell_of(arguments: Sequence[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as nobody:
        done = subprocess.run(
            [*COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=nobody,
            stderr=subprocess.PIPE,
            timeout=50,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_an_input_that_is_closed_is_empty() -> None:
    done = subprocess.run(
        [*COMMAND, "chat"], preexec_fn=lambda: os.close(0), capture_output=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"you>" not in done.stdout


def test_a_host_of_another_machine_is_not_the_ports_fault() -> None:
    done = run("serve", "--host", "192.0.2.1", "--token", "any")
    assert done.returncode == 1
    sentence = sentence_of(done.stderr.splitlines())
    assert sentence.startswith("192.0.2.1 is no address of this machine")


def test_a_failure_is_one_sentence_and_no_traceback() -> None:
    done = run("chat", "--url", f"ws://127.0.0.1:{free_port()}/v1/responses", lines=["hello"])
    assert done.returncode == 1
    assert done.stdout == ""
    sentence = sentence_of(done.stderr.splitlines())
    assert sentence.endswith("check the address, and that the server is running.")


async def test_serve() -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "serve", "--port", str(port), "--tokens-per-second", "0", stdout=-1, stderr=-1
    )
    assert process.stdout is not None
    shown = ""
    async with asyncio.timeout(40):
        while "Ctrl-C" not in shown:
            shown += (await process.stdout.readline()).decode()
    url = f"http://127.0.0.1:{port}"
    assert f"{url}/v1\n" in shown
    assert f"ws://127.0.0.1:{port}/v1/responses" in shown
    state = await asyncio.to_thread(lambda: urllib.request.urlopen(f"{url}/_sandbox").read())
    assert b"base_url" in state
    status, output = await talk("hello", url=f"{url}/v1")
    assert status == 0
    assert "I remember 1 item." in output.out
    taken = await asyncio.to_thread(run, "serve", "--port", str(port))
    assert taken.returncode == 1
    sentence = sentence_of(taken.stderr.splitlines())
    assert sentence == (
        f"Port {port} cannot be used (Address already in use): choose another one with --port."
    )
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert out.decode().strip() == "Stopped."
    assert err == b""


MAKEFILE = Path(__file__).parents[1] / "Makefile"


@pytest.mark.skipif(shutil.which("make") is None or sys.platform == "win32", reason="needs make")
def test_ctrl_c_in_make_chat_is_the_chats_alone() -> None:
    """Make gets the signals of its terminal as well, and would end as if it had been killed."""
    stamp = ".venv/.installed-voice"
    command = ["make", "chat", "-o", stamp, f"BIN={Path(sys.executable).parent}"]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(MAKEFILE.parent)
        # A make that runs these tests hands its own options and variables on, ARGS among them.
        for name in ("OPENAI_API_KEY", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "ARGS"):
            os.environ.pop(name, None)
        os.execvp(command[0], command)
    shown = b""

    def shows(text: bytes) -> None:
        nonlocal shown
        while text not in shown:
            ready, _, _ = select.select([terminal], [], [], 40)
            assert ready, f"{text!r} does not come: {shown!r}"
            try:
                shown += os.read(terminal, 4096)
            except OSError as error:
                raise AssertionError(f"It ended before {text!r}: {shown.decode()}") from error
        shown = b""

    try:
        shows(b"/help shows")
        os.write(terminal, b"count to 60\n")
        shows(b"3,")
        os.write(terminal, b"\x03")
        shows(b"interrupted")
        os.write(terminal, b"/quit\n")
        with contextlib.suppress(OSError):
            # The terminal goes with the last one who has it.
            while os.read(terminal, 4096):
                pass
    finally:
        os.close(terminal)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_help_and_version() -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert "chat" in shown.output
    assert "serve" in shown.output
    for command in ("chat", "serve"):
        assert runner.invoke(app, [command, "--help"]).exit_code == 0
    shown = runner.invoke(app, ["--version"])
    assert shown.exit_code == 0
    assert re.fullmatch(r"pipecat-responses \d+\.\d+\.\d+\S*\n", shown.output)


@pytest.mark.parametrize("command", ["chat", "doctor", "serve", "record"])
def test_help_fits_a_terminal_and_cuts_no_name(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"}).output
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    for option in get_group(app).commands[command].params:
        assert all(name in shown for name in (*option.opts, *option.secondary_opts))


@pytest.mark.parametrize(
    "environment", [pytest.param(None, marks=pytest.mark.long_calls), "ftp://the-environment"]
)
def test_a_file_of_the_working_folder_says_what_the_environment_does_not(
    environment: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL")
    if environment is not None:
        monkeypatch.setenv("OPENAI_BASE_URL", environment)
    (tmp_path / ".env").write_text(
        "OPENAI_BASE_URL=ftp://the-file\nOPENAI_API_KEY=sk-hidden-0123\n"
    )
    done = run("doctor")
    assert done.returncode == 1
    assert f"'{environment or 'ftp://the-file'}' is no address" in done.stderr
    assert "sk-hidden" not in done.stdout + done.stderr


def test_a_file_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"OPENAI_API_KEY=\xff\xfe\n")
    done = run("chat")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ".env cannot be read (UnicodeDecodeError).\n"


def test_help_does_not_wait_for_pipecat() -> None:
    code = """
import sys
import pipecat_responses.cli.commands
heavy = {"pipecat", "openai", "aiohttp", "numpy"} & set(sys.modules)
sys.exit(str(heavy) if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


WITHOUT = """
import importlib.abc
import runpy
import sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if any(f"{{name}}.".startswith(f"{{each}}.") for each in {missing!r}):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""
"""Begins a program that runs as if some packages were not installed."""


def without(missing: Sequence[str], code: str) -> subprocess.CompletedProcess[str]:
    program = WITHOUT.format(missing=list(missing)) + code
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "code",
    [
        "from pipecat_responses.cli import main; main()",
        "runpy.run_module('pipecat_responses', run_name='__main__')",
        "runpy.run_module('pipecat_responses.cli', run_name='__main__')",
    ],
)
@pytest.mark.parametrize("missing", [("rich", "typer"), ("rich",), ("typer",)])
def test_without_its_extra_the_command_says_what_to_install(
    missing: Sequence[str], code: str
) -> None:
    done = without(missing, code)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "The command line needs an extra: pip install 'pipecat-responses[cli]'\n"
    )


@pytest.mark.parametrize(
    ("example", "missing"),
    [
        ("voice/__main__.py", "typer"),
        pytest.param("voice_bot.py", "pipecat.services.deepgram", marks=pytest.mark.long_calls),
        pytest.param("deploy/bot.py", "pipecat.transports.websocket", marks=pytest.mark.long_calls),
        pytest.param("telemetry/calls.py", "opentelemetry.sdk", marks=pytest.mark.long_calls),
    ],
)
def test_an_example_without_what_it_needs_says_what_to_install(example: str, missing: str) -> None:
    path = str(MAKEFILE.parent / "examples" / example)
    done = without(
        [missing], f"sys.argv = [{path!r}]; runpy.run_path({path!r}, run_name='__main__')"
    )
    assert done.returncode == 1
    assert "pip install" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_bot_needs_no_extra() -> None:
    code = "import pipecat_responses.sandbox; from pipecat_responses import *"
    done = without(("rich", "typer"), code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["pipecat_responses", "pipecat_responses.cli"])
def test_the_package_is_a_command(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("pipecat-responses ")


# -- pieces ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("2*(3+4)", "14"),
        ("1/4", "0.25"),
        ("0.1 + 0.2", "0.3"),
        ("2 ^ 10", "1024"),
        ("6 × 7", "42"),  # noqa: RUF001
        ("-3 // 2", "-2"),
        ("7 % 4", "3"),
        ("2 ** -1", "0.5"),
        ("+1", "1"),
    ],
)
def test_arithmetic(expression: str, result: str) -> None:
    assert calculate_text(expression) == result


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1 +",
        "1 / 0",
        "0 ** -1",
        "9**9**9",
        "(-8) ** 0.5",
        "2 ** 0.5 ** -99999",
        "__import__('os').getcwd()",
        "abs(1)",
        "x",
        "True + 1",
        "1j * 1j",
        "'a' * 9",
        "[1] * 9",
        "1 if 1 else 2",
        "1e308 * 10",
        "(" * 150 + "1" + ")" * 49,
        "1+" * 200 + "1",
    ],
)
def test_what_is_no_arithmetic_is_refused_with_a_sentence(expression: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z][^\n]*\.$"):
        calculate_text(expression)


def test_a_model_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[31mb\x07\r\x9bc\td\n") == "a[31mbc\td\n"


def test_markup_in_an_answer_is_text() -> None:
    output = Output(live=False)
    output.screen.bot("[bold]not bold[/bold] :smile: [/]")
    output.screen.close_line()
    assert output.out == "bot> [bold]not bold[/bold] :smile: [/]\n"


async def test_lines_of_any_shape() -> None:
    reader, writer = os.pipe()
    lines = Lines(reader)
    os.write(writer, "one\r\n\ntw\u00f6".encode()[:-1])
    assert await lines.next() == "one"
    assert await lines.next() == ""
    os.write(writer, "\u00f6".encode()[-1:] + b" and more")
    os.close(writer)
    assert await lines.next() == "tw\u00f6 and more"
    assert await lines.next() is None
    assert await lines.next() is None
    os.close(reader)
