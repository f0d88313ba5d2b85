"""An embedded OpenAI Responses API server on loopback, for trying out, tests and benchmarks.

It is the judge of the client, so it shares no code with it: what it checks, remembers and answers
follows the documentation and the official SDK's types.
"""

from pipecat_responses.sandbox.answers import (
    Answer,
    Call,
    Compaction,
    HostedCall,
    ModelInput,
    Part,
    Reasoning,
    Refusal,
    Text,
)
from pipecat_responses.sandbox.background import BackgroundSandbox
from pipecat_responses.sandbox.config import KNOWN_MODELS, RequiredQuery, SandboxConfig
from pipecat_responses.sandbox.faults import Fault, Faults
from pipecat_responses.sandbox.profiles import PROFILES
from pipecat_responses.sandbox.records import RecordedHandshake, RecordedRequest
from pipecat_responses.sandbox.server import Sandbox
from pipecat_responses.sandbox.stubs import Stub

__all__ = [
    "KNOWN_MODELS",
    "PROFILES",
    "Answer",
    "BackgroundSandbox",
    "Call",
    "Compaction",
    "Fault",
    "Faults",
    "HostedCall",
    "ModelInput",
    "Part",
    "Reasoning",
    "RecordedHandshake",
    "RecordedRequest",
    "Refusal",
    "RequiredQuery",
    "Sandbox",
    "SandboxConfig",
    "Stub",
    "Text",
]
