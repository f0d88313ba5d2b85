"""Imports go down only. See the table of layers in the design."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pipecat_responses

PACKAGE = "pipecat_responses"
ROOT = Path(pipecat_responses.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

BELOW = {
    "protocol": {"protocol"},
    "transport": {"transport", "protocol"},
    "session": {"session", "transport", "protocol"},
    "context": {"context", "protocol"},
    "service": {"service", "context", "session", "transport", "protocol"},
    "inspector": {"inspector", "service", "session", "transport", "protocol"},
    "sandbox": {"sandbox"},
    "doctor": {"doctor", "service", "transport", "protocol"},
    "testing": {"testing", "llm", "service", "sandbox"},
}
"""What of ours a layer may import, itself included. What is not named here may import all."""

OF_PROTOCOL = {
    "transport": {"events", "errors", "failures", "names", "requests", "sse"},
    "doctor": {"encoding", "events", "errors", "failures", "names", "requests"},
}
"""Which modules of ``protocol`` a layer may import, where not all."""

LIBRARIES = {
    "protocol": {"msgspec"},
    "transport": {
        "aiohttp",
        "aiohttp_socks",
        "httpx",
        "httpx2",
        "loguru",
        "msgspec",
        "openai",
        "websockets",
    },
    "session": {"openai", "loguru", "msgspec", "websockets"},
    "inspector": {"aiohttp", "loguru", "msgspec"},
    "sandbox": {"PIL", "aiohttp", "msgspec", "num2words", "rstr", "trustme", "yaml"},
    "doctor": {"openai", "httpx2"},
    "testing": {"pipecat", "pytest"},
}
"""What a layer may import besides the standard library and us."""

OF_THE_CLI = {"dotenv", "platformdirs", "prompt_toolkit", "rich", "typer"}
"""What a bot runs without: the extra ``cli``."""

NO_IO = {"asyncio", "socket", "ssl", "select", "selectors", "threading", "time", "http", "urllib"}
"""What reaches outside, or reads a clock: nothing for ``protocol``."""

NOBODY = (
    "pipecat.services.openai.responses",
    "pipecat.adapters.services.open_ai_responses_adapter",
)
"""What this package is there to replace."""


def module_of(path: Path) -> str:
    parts = [PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    """All that a file imports, wherever in it, by full name."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{start}.{alias.name}"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_go_down_only() -> None:
    for path in FILES:
        layer = layer_of(module_of(path))
        for name in imports_of(path):
            if name.split(".")[0] != PACKAGE or layer not in BELOW:
                continue
            below = layer_of(name)
            assert below in BELOW[layer], f"{name_of(path)} must not import {name}"
            if below == "protocol" and layer in OF_PROTOCOL:
                module = name.split(".")[2] if name.count(".") > 1 else ""
                assert module in OF_PROTOCOL[layer], f"{name_of(path)} must not import {name}"


def test_layers_use_their_own_libraries_only() -> None:
    for path in FILES:
        layer = layer_of(module_of(path))
        if layer in LIBRARIES:
            used = {name.split(".")[0] for name in imports_of(path)}
            others = used - set(sys.stdlib_module_names) - {PACKAGE}
            assert others <= LIBRARIES[layer], name_of(path)


def test_the_protocol_reaches_nothing_outside_and_has_no_clock() -> None:
    for path in (ROOT / "protocol").rglob("*.py"):
        assert not {name.split(".")[0] for name in imports_of(path)} & NO_IO, name_of(path)


def test_nobody_imports_what_is_replaced() -> None:
    for path in FILES:
        for name in imports_of(path):
            assert not name.startswith(NOBODY), name_of(path)
            # By way of a package, too.
            theirs = name.endswith("OpenAIResponsesLLMAdapter") and not name.startswith(PACKAGE)
            assert not theirs, name_of(path)


def test_only_the_command_line_knows_the_command_line() -> None:
    for path in FILES:
        if layer_of(module_of(path)) not in ("cli", "__main__"):
            for name in imports_of(path):
                assert not name.startswith(f"{PACKAGE}.cli"), f"{name_of(path)} imports {name}"


def test_only_the_command_line_needs_its_extra() -> None:
    for path in FILES:
        if layer_of(module_of(path)) != "cli":
            for name in imports_of(path):
                assert name.split(".")[0] not in OF_THE_CLI, f"{name_of(path)} imports {name}"


def test_what_is_for_trying_out_and_testing_is_used_for_nothing_else() -> None:
    for path in FILES:
        if layer_of(module_of(path)) not in ("cli", "sandbox", "testing"):
            for name in imports_of(path):
                assert not name.startswith((f"{PACKAGE}.sandbox", f"{PACKAGE}.testing")), (
                    f"{name_of(path)} imports {name}"
                )


def test_the_command_line_does_without_what_is_for_testing() -> None:
    # It would start more slowly.
    for path in (ROOT / "cli").rglob("*.py"):
        assert not any(name.startswith(f"{PACKAGE}.testing") for name in imports_of(path))


def test_there_is_something_to_look_at() -> None:
    assert {layer_of(module_of(path)) for path in FILES} >= set(BELOW)
    assert {name.split(".")[0] for path in FILES for name in imports_of(path)} >= OF_THE_CLI
    assert f"{PACKAGE}.protocol.items.Item" in imports_of(ROOT / "protocol" / "output.py")
