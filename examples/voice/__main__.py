"""Talk to a bot in the browser: ``python -m examples.voice`` prints the address."""

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

NEEDS = "Talking to the bot needs an extra: pip install 'pipecat-responses[voice]'"

try:
    import typer

    from pipecat_responses.cli.commands import Transport
    from pipecat_responses.cli.logs import set_up_logs
except ImportError:
    sys.exit(NEEDS)
except KeyboardInterrupt:
    sys.exit(130)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def voice(
    transport: Annotated[
        Transport, typer.Option(help="How requests to the model travel.")
    ] = Transport.WEBSOCKET,
    model: Annotated[str, typer.Option(help="The model.")] = "gpt-4.1",
    stt: Annotated[str, typer.Option(help="What the bot hears with.")] = "pocketsphinx",
    tts: Annotated[str, typer.Option(help="What the bot speaks with.")] = "hibari",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 for any.", min=0, max=65535)] = 7860,
    verbose: Annotated[bool, typer.Option(help="Write the debug log to stderr.")] = False,
) -> None:
    """Talk to a bot in the browser.

    It thinks with OpenAI if OPENAI_API_KEY is set, else with a sandbox on this machine.
    """
    # Before Pipecat is imported, which says so in the log.
    set_up_logs(verbose=verbose)
    # Silero runs on ONNX Runtime, which otherwise reports its use to its maker.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    from pipecat_responses.cli.failures import UnusableError

    try:
        asyncio.run(serve(Options(transport.value, model, stt, tts, host, port)))
    except KeyboardInterrupt:
        # Ctrl-C ends it before it listens, too.
        typer.echo()
    except UnusableError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except ImportError as error:
        typer.echo(f"{error}. {NEEDS}", err=True)
        raise typer.Exit(1) from error


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    transport: Literal["websocket", "http"]
    model: str
    stt: str
    tts: str
    host: str
    port: int


async def serve(options: Options) -> None:
    """Serves the page until it is told to stop.

    Args:
        options: What the command line asked for.

    Raises:
        UnusableError: If a call could not be answered; the message says what to do.
    """
    from aiohttp import web

    from examples.voice.bot import Parts, talk
    from examples.voice.calls import Calls
    from examples.voice.check import check
    from examples.voice.server import application
    from examples.voice.services import STT, TTS, choose
    from pipecat_responses.cli.failures import UnusableError
    from pipecat_responses.cli.serve import not_listening, until_stopped
    from pipecat_responses.cli.target import find_target

    stt = choose("--stt", STT, options.stt)
    tts = choose("--tts", TTS, options.tts)
    async with _sandbox() as sandbox_url:
        target = find_target(options.transport, None, sandbox_url)
        parts = Parts(stt, tts, target, options.model)
        await check(parts)
        # Collecting after a call then looks at what came since, and takes milliseconds.
        gc.collect()
        gc.freeze()
        mind = "the sandbox on this machine" if sandbox_url else f"{parts.model} at {target.where}"
        calls = Calls(partial(talk, parts=parts))
        about = f"It hears with {options.stt}, thinks with {mind}, speaks with {options.tts}."
        runner = web.AppRunner(application(calls, about, options.host), handle_signals=False)
        await runner.setup()
        try:
            site = web.TCPSite(runner, options.host, options.port, shutdown_timeout=0)
            try:
                await site.start()
            except OSError as error:
                raise UnusableError(not_listening(options.host, options.port, error)) from error
            typer.echo(about)
            typer.echo(
                f"Open {_address(options.host, runner.addresses[0][1])} and call. Ctrl-C ends it."
            )
            sys.stdout.flush()
            await until_stopped()
        finally:
            await calls.close()
            await runner.cleanup()


def _address(host: str, port: int) -> str:
    name = {"0.0.0.0": "localhost", "::": "localhost", "127.0.0.1": "localhost"}.get(host, host)
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"


@contextlib.asynccontextmanager
async def _sandbox() -> AsyncIterator[str | None]:
    """The address of a sandbox, unless there is a key for OpenAI."""
    if os.environ.get("OPENAI_API_KEY"):
        yield None
        return
    from pipecat_responses.sandbox import Sandbox, SandboxConfig

    config = SandboxConfig(
        persona=True, time_to_first_token=0.15, tokens_per_second=40, hosted_seconds=3.0
    )
    async with Sandbox(config) as sandbox:
        yield sandbox.base_url


if __name__ == "__main__":
    app(prog_name="make voice")
