"""What a bot can hear and speak with: on this machine, or by a key of somebody's service."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pipecat.processors.frame_processor import FrameProcessor

from pipecat_responses.cli.failures import UnusableError

Make = Callable[[], FrameProcessor]
"""Makes the service of one call."""


@dataclass(frozen=True)
class Provider:
    """A service that can be chosen.

    Attributes:
        module: Where it is; imported only if it is chosen.
        service: The name of its class.
        key: The variable of the environment that has its key, or None if it needs none.
        extra: What of Pipecat to install for it.
        voice: The voice, where the service has none by default.
    """

    module: str
    service: str
    key: str | None = None
    extra: str | None = None
    voice: str | None = None


STT: Mapping[str, Provider] = {
    "pocketsphinx": Provider("examples.voice.stt", "PocketSphinxSTTService"),
    "assemblyai": Provider(
        "pipecat.services.assemblyai.stt",
        "AssemblyAISTTService",
        "ASSEMBLYAI_API_KEY",
        "assemblyai",
    ),
    "cartesia": Provider(
        "pipecat.services.cartesia.stt", "CartesiaSTTService", "CARTESIA_API_KEY", "cartesia"
    ),
    "deepgram": Provider(
        "pipecat.services.deepgram.stt", "DeepgramSTTService", "DEEPGRAM_API_KEY", "deepgram"
    ),
    "openai": Provider("pipecat.services.openai.stt", "OpenAISTTService", "OPENAI_API_KEY"),
}
"""What it can hear with; the first by default."""

TTS: Mapping[str, Provider] = {
    "hibari": Provider("examples.voice.tts", "HibariTTSService"),
    "cartesia": Provider(
        "pipecat.services.cartesia.tts",
        "CartesiaTTSService",
        "CARTESIA_API_KEY",
        "cartesia",
        voice="71a7ad14-091c-4e8e-a314-022ece01c121",
    ),
    "deepgram": Provider(
        "pipecat.services.deepgram.tts", "DeepgramTTSService", "DEEPGRAM_API_KEY", "deepgram"
    ),
    "openai": Provider("pipecat.services.openai.tts", "OpenAITTSService", "OPENAI_API_KEY"),
}
"""What it can speak with; the first by default."""


def choose(option: str, providers: Mapping[str, Provider], name: str) -> Make:
    """Finds a service, and whether it can be used.

    Args:
        option: What it was chosen with, such as ``--stt``.
        providers: Those there are.
        name: Which of them.

    Raises:
        UnusableError: If there is no such service, its key is not set, or it is not installed.
    """
    provider = providers.get(name)
    if provider is None:
        raise UnusableError(f"There is no {option} {name}: choose one of {', '.join(providers)}.")
    given: dict[str, Any] = {}
    if provider.key is not None:
        given["api_key"] = os.environ.get(provider.key)
        if not given["api_key"]:
            raise UnusableError(f"{option} {name} needs a key: set {provider.key}.")
    try:
        service = getattr(import_module(provider.module), provider.service)
    except ImportError as error:
        needed = f"pipecat-ai[{provider.extra}]" if provider.extra else "pipecat-responses[voice]"
        raise UnusableError(
            f"{option} {name} is not installed ({error}): pip install '{needed}'."
        ) from error
    if provider.voice is not None:
        given["settings"] = service.Settings(voice=provider.voice)

    def make() -> FrameProcessor:
        made: FrameProcessor = service(**given)
        return made

    return make
