"""The commands and their options.

Nothing here imports Pipecat before a command needs it, so ``--help`` answers at once.
"""

from __future__ import annotations

import gc
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from dotenv import load_dotenv

__all__ = ["app"]

app = typer.Typer(
    name="pipecat-responses",
    help="OpenAI's Responses API for Pipecat.",
    no_args_is_help=True,
    add_completion=False,
    # Plain help: tables cut the names of options where the terminal is narrow.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Transport(StrEnum):
    """How requests travel."""

    WEBSOCKET = "websocket"
    HTTP = "http"


class Lanes(StrEnum):
    """What the sandbox does about lanes."""

    SUPPORTED = "supported"
    REJECTED = "rejected"
    IGNORED = "ignored"


class Cancel(StrEnum):
    """What the sandbox does about ``response.cancel``."""

    IGNORED = "ignored"
    REJECTED = "rejected"
    HONOURED = "honoured"


class Profile(StrEnum):
    """Whose server the sandbox plays."""

    OPENAI = "openai"
    AZURE = "azure"
    XAI = "xai"
    OPENROUTER = "openrouter"
    LITELLM = "litellm"
    VLLM = "vllm"
    OLLAMA = "ollama"
    LMSTUDIO = "lmstudio"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pipecat-responses {version('pipecat-responses')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """OpenAI's Responses API for Pipecat."""
    try:
        # What the environment has is left as it is.
        load_dotenv(".env")
    except (OSError, UnicodeDecodeError) as error:
        typer.echo(f".env cannot be read ({type(error).__name__}).", err=True)
        raise typer.Exit(1) from None


@app.command()
def chat(
    transport: Annotated[
        Transport, typer.Option(help="How requests travel.")
    ] = Transport.WEBSOCKET,
    model: Annotated[str, typer.Option(help="The model.")] = "gpt-4.1",
    system: Annotated[
        str | None, typer.Option(help="The system instruction.", show_default=False)
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="The server: ws://, wss://, http:// or https://. Default: OpenAI if "
            "OPENAI_API_KEY is set, else a sandbox on this machine.",
            show_default=False,
        ),
    ] = None,
    inspect: Annotated[
        bool, typer.Option("--inspect", help="Show what happens on a page on this machine.")
    ] = False,
    verbose: Annotated[bool, typer.Option(help="Write the debug log to stderr.")] = False,
) -> None:
    """Talk to the bot in the terminal.

    Ctrl-C while the bot talks interrupts it; Ctrl-C or Ctrl-D while it is silent leaves. Lines may
    be piped in, one a turn.
    """
    from pipecat_responses.cli.logs import set_up_logs

    # Before Pipecat is imported, which says so in the log.
    set_up_logs(verbose=verbose)
    # What is imported stays for good, and to look through it for garbage takes time.
    gc.disable()
    from pipecat_responses.cli.chat import ChatOptions, run

    gc.freeze()
    gc.enable()
    options = ChatOptions(
        transport=transport.value, model=model, system=system, url=url, inspect=inspect
    )
    raise typer.Exit(run(options))


@app.command()
def doctor(
    url: Annotated[
        str | None,
        typer.Option(
            help="The server: https://, wss://, http:// or ws://. Default: OPENAI_BASE_URL, or "
            "OpenAI.",
            show_default=False,
        ),
    ] = None,
    ws_url: Annotated[
        str | None,
        typer.Option(help="Its WebSocket, if it is not where the server is.", show_default=False),
    ] = None,
    model: Annotated[str, typer.Option(help="The model.")] = "gpt-4.1",
    key_env: Annotated[
        str, typer.Option(help="The variable of the environment that holds the key.")
    ] = "OPENAI_API_KEY",
    stored: Annotated[
        bool,
        typer.Option(
            "--stored", help="Try store: true as well; what it stores is deleted afterwards."
        ),
    ] = False,
    timeout: Annotated[
        float, typer.Option(help="Seconds that each step may take.", min=0.1)
    ] = 10.0,
    write: Annotated[
        Path | None,
        typer.Option(help="A file for what the server can do.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Find out whether a call can be held with a server, and what the server can do.

    It takes seconds and some hundreds of tokens. The exit status is 0 if a call can be held.
    """
    from pipecat_responses.cli.logs import set_up_logs

    # Before Pipecat is imported, which says so in the log.
    set_up_logs(verbose=False)
    from pipecat_responses.cli.doctor import DoctorOptions, run

    options = DoctorOptions(url, ws_url, model, key_env, stored, timeout, write, as_json)
    raise typer.Exit(run(options))


@app.command()
def serve(
    port: Annotated[
        int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)
    ] = 8765,
    time_to_first_token: Annotated[
        float, typer.Option(help="Seconds until an answer begins.", min=0.0)
    ] = 0.15,
    tokens_per_second: Annotated[
        float, typer.Option(help="Pace of an answer; 0 sends it at once.", min=0.0)
    ] = 40.0,
    profile: Annotated[
        Profile | None,
        typer.Option(help="Whose server to play, as far as is known. Default: openai."),
    ] = None,
    capabilities: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Play the server that a capabilities file tells of, written by doctor.",
            show_default=False,
        ),
    ] = None,
    lanes: Annotated[
        Lanes | None,
        typer.Option(help="What becomes of lanes. Default: as the profile has it."),
    ] = None,
    cancel: Annotated[
        Cancel | None,
        typer.Option(help="What becomes of response.cancel. Default: as the profile has it."),
    ] = None,
    any_model: Annotated[
        bool,
        typer.Option("--any-model", help="Take any model's name, as OpenAI does not."),
    ] = False,
    persona: Annotated[
        bool,
        typer.Option(
            "--persona", help="Answer as somebody to talk to, with searches that take a while."
        ),
    ] = False,
    scenario: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A scenario (YAML or JSON) to play; the exit status is 1 if it went otherwise.",
            show_default=False,
        ),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Answer from a cassette, written by record, instead of running the sandbox.",
            show_default=False,
        ),
    ] = None,
    timing: Annotated[
        bool, typer.Option("--timing/--no-timing", help="Replay a cassette at its own pace.")
    ] = True,
    host: Annotated[
        str, typer.Option(help="The address to listen on; but for loopback with a token only.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="PIPECAT_RESPONSES_TOKEN",
            help="What the controls take, and as API key. Better in the environment than here.",
            show_default=False,
            show_envvar=True,
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option(help="Write the debug log to stderr.")] = False,
) -> None:
    """Run the sandbox, a Responses API server for trying out, on this machine.

    Ctrl-C stops it.
    """
    from pipecat_responses.cli.logs import set_up_logs

    set_up_logs(verbose=verbose)
    from pipecat_responses.cli.serve import ServeOptions, run
    from pipecat_responses.sandbox import SandboxConfig

    if capabilities is not None and profile is not None:
        raise typer.BadParameter("--profile and --capabilities both say whose server to play")
    server = (profile or Profile.OPENAI).value
    try:
        config = (
            SandboxConfig.from_capabilities(capabilities)
            if capabilities is not None
            else SandboxConfig.profile(server)
        )
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    config.time_to_first_token = time_to_first_token
    config.tokens_per_second = tokens_per_second or None
    if lanes is not None:
        config.lanes = lanes.value
    if cancel is not None:
        config.cancel = cancel.value
    config.any_model = config.any_model or any_model
    if persona:
        config.persona, config.hosted_seconds = True, 3.0
    options = ServeOptions(config, server, host, port, token, scenario, replay, timing)
    raise typer.Exit(run(options))


@app.command("inspect")
def inspect_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A session file, recorded by an Inspector.")
    ],
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = 0,
) -> None:
    """Show a call that was recorded, turn by turn, on a page on this machine.

    Ctrl-C stops it.
    """
    from pipecat_responses.cli.logs import set_up_logs

    set_up_logs(verbose=False)
    from pipecat_responses.cli.inspect import run

    raise typer.Exit(run(file, port))


@app.command()
def record(
    to: Annotated[Path, typer.Option(metavar="FILE", help="The cassette to write.")],
    upstream: Annotated[
        str | None,
        typer.Option(
            help="The server to record. Default: OPENAI_BASE_URL, or OpenAI.", show_default=False
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)
    ] = 8765,
    redact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="A regular expression for what is not to be written; may be repeated.",
            show_default=False,
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option(help="Write the debug log to stderr.")] = False,
) -> None:
    """Record what a client and a server say to each other, for serve --replay.

    The client talks to this command, which hands everything on. API keys pass through and are never
    written. Ctrl-C stops it, and writes the cassette.
    """
    from pipecat_responses.cli.logs import set_up_logs

    set_up_logs(verbose=verbose)
    from pipecat_responses.cli.record import RecordOptions, run

    raise typer.Exit(run(RecordOptions(to, upstream, port, tuple(redact or ()))))


@app.command()
def explain(
    name: Annotated[
        str | None,
        typer.Argument(help="An error's name; without one, all names.", show_default=False),
    ] = None,
) -> None:
    """Tell what an error means and what to do about it."""
    from pipecat_responses.cli.explain import run

    raise typer.Exit(run(name))
