"""An embedded OpenAI Responses API server on loopback, for trying out, tests and benchmarks.

It is the judge of the client, so it shares no code with it: what it checks, remembers and answers
follows the documentation and the official SDK's types.
"""

from pipecat_responses.sandbox.answers import (
    Answer,
    Call,
    Citation,
    Compaction,
    HostedCall,
    ModelInput,
    Part,
    Reasoning,
    Refusal,
    Text,
)
from pipecat_responses.sandbox.cassette import Cassette, CassetteError
from pipecat_responses.sandbox.config import KNOWN_MODELS, RequiredQuery, SandboxConfig
from pipecat_responses.sandbox.faults import Fault, Faults
from pipecat_responses.sandbox.profiles import PROFILES
from pipecat_responses.sandbox.recorder import Recorder
from pipecat_responses.sandbox.records import RecordedHandshake, RecordedRequest
from pipecat_responses.sandbox.replay import Replay
from pipecat_responses.sandbox.scenario import Scenario, ScenarioError, ScenarioRun
from pipecat_responses.sandbox.server import Sandbox
from pipecat_responses.sandbox.sessions import Session
from pipecat_responses.sandbox.stubs import Stub
from pipecat_responses.sandbox.threaded import BackgroundSandbox, in_background

__all__ = [
    "KNOWN_MODELS",
    "PROFILES",
    "Answer",
    "BackgroundSandbox",
    "Call",
    "Cassette",
    "CassetteError",
    "Citation",
    "Compaction",
    "Fault",
    "Faults",
    "HostedCall",
    "ModelInput",
    "Part",
    "Reasoning",
    "RecordedHandshake",
    "RecordedRequest",
    "Recorder",
    "Refusal",
    "Replay",
    "RequiredQuery",
    "Sandbox",
    "SandboxConfig",
    "Scenario",
    "ScenarioError",
    "ScenarioRun",
    "Session",
    "Stub",
    "Text",
    "in_background",
]
