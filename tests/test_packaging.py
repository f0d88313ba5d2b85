from __future__ import annotations

import importlib
import json
import py_compile
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import entry_points, metadata, version
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

import pipecat_responses
from pipecat_responses.cli.commands import app

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = ("constraints.txt", "constraints-lowest.txt")
FORCED = {
    "click",
    "commonmark",
    "distro",
    "fastapi",
    "fastapi-cli",
    "httpcore2",
    "multidict",
    "orjson",
    "pydantic-core",
    "pydantic-settings",
    "starlette",
    "tqdm",
    "ujson",
}
"""What the lowest versions of our dependencies need, and not as the newest do."""


def pins_of(file: str) -> list[str]:
    lines = (ROOT / file).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def versions_of(file: str) -> dict[str, str]:
    return {name_of(pin): pin.partition("==")[2] for pin in pins_of(file)}


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=;! ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_the_version_is_the_same_everywhere() -> None:
    assert version("pipecat-responses") == pipecat_responses.__version__ == PROJECT["version"]
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_command_is_installed() -> None:
    (script,) = entry_points(group="console_scripts", name="pipecat-responses")
    assert script.value == "pipecat_responses.cli:main"
    assert callable(script.load())


def test_the_plugin_is_installed() -> None:
    (plugin,) = entry_points(group="pytest11", name="pipecat_responses")
    assert plugin.value == "pipecat_responses.testing.plugin"


def test_the_types_are_shipped() -> None:
    assert files("pipecat_responses").joinpath("py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["classifiers"]


def test_the_metadata() -> None:
    told = metadata("pipecat-responses")
    assert told["Requires-Python"] == ">=3.11"
    assert told["License-Expression"] == "BSD-2-Clause"
    assert (ROOT / "LICENSE").read_text().startswith("BSD 2-Clause License")


@pytest.mark.parametrize("name", pipecat_responses.__all__)
def test_what_is_exported_is_there(name: str) -> None:
    assert getattr(pipecat_responses, name) is not None


def test_every_import_is_declared() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = ("cli", "patterns", "scenarios", "socks", "tls")
    optional = [each for extra in wanted for each in extras[extra]]
    # Only pytest imports the plugin.
    optional.append("pytest")
    declared = {name_of(each) for each in [*PROJECT["dependencies"], *optional]}
    distributions = {
        "aiohttp_socks": "aiohttp-socks",
        "dotenv": "python-dotenv",
        "pipecat": "pipecat-ai",
        "PIL": "pillow",
        "prompt_toolkit": "prompt-toolkit",
        "yaml": "pyyaml",
    }
    found = set()
    for source in (ROOT / "src").rglob("*.py"):
        found |= set(re.findall(r"^\s*(?:from|import) (\w+)", source.read_text(), re.MULTILINE))
    ours = {"pipecat_responses", "the"}
    for name in sorted(found - ours):
        spec = importlib.util.find_spec(name)
        if spec is None or "site-packages" not in str(spec.origin):
            continue
        assert distributions.get(name, name) in declared, name


@pytest.mark.parametrize("file", CONSTRAINTS)
def test_constraints_are_names_and_versions_only(file: str) -> None:
    pins = pins_of(file)
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin), pin
    assert len(pins) == len(versions_of(file))


def test_every_dependency_has_a_constraint() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"]]
    wanted += [
        each
        for extra in ("cli", "dev", "bench", "docs", "scenarios", "voice")
        for each in extras[extra]
    ]
    pinned = versions_of("constraints.txt")
    assert {name_of(each) for each in wanted} - {"pipecat-responses"} <= set(pinned)


def test_the_lowest_constraints_are_the_lower_bounds() -> None:
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["cli"]]
    bounds = {name_of(each): re.findall(r">=([0-9.]+)", each) for each in wanted}
    lowest, newest = versions_of("constraints-lowest.txt"), versions_of("constraints.txt")
    for name, (bound,) in bounds.items():
        version, least = ([*map(int, each.split(".")), 0, 0][:3] for each in (lowest[name], bound))
        assert version == least, name
    # What the tests run with does not depend on it.
    assert {name for name in lowest if lowest[name] != newest.get(name)} - FORCED <= set(bounds)


def test_each_major_of_websockets_is_among_those_to_be_tried() -> None:
    [tried] = re.findall(r"^WEBSOCKETS \?= (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    [bounds] = [each for each in PROJECT["dependencies"] if name_of(each) == "websockets"]
    low, high = map(int, re.findall(r"\d+", bounds))
    assert [int(each.split(".")[0]) for each in tried.split()] == [
        major for major in range(low, high) for _ in ("lowest", "highest")
    ]
    assert tried.split()[0] == f"{low}.0"
    assert versions_of("constraints.txt")["websockets"] == tried.split()[-1]


@pytest.mark.parametrize(
    "file",
    ["Containerfile", "examples/deploy/Containerfile", "examples/telemetry/Containerfile"],
)
def test_what_a_container_file_copies_is_there(file: str) -> None:
    lines = (ROOT / file).read_text().replace("\\\n", "").splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY")]
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    for name in (each for names in copied for each in names):
        assert (ROOT / name).exists()
        assert {f"!{name}", f"!{name.partition('/')[0]}"} & set(allowed)


def test_the_container_file() -> None:
    lines = (ROOT / "Containerfile").read_text().replace("\\\n", "").splitlines()
    [entry] = [line for line in lines if line.startswith("ENTRYPOINT")]
    command, *options = json.loads(entry.removeprefix("ENTRYPOINT"))
    assert command in PROJECT["scripts"]
    shown = CliRunner().invoke(app, [options[0], "--help"], env={"COLUMNS": "200"}).output
    assert all(option in shown for option in options if option.startswith("--"))


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_examples_compile(example: Path, tmp_path: Path) -> None:
    py_compile.compile(str(example), cfile=str(tmp_path / "compiled"), doraise=True)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    "target",
    [
        *("setup", "chat", "serve", "test", "test-websockets", "coverage", "bench", "docs", "lint"),
        *("format", "fuzz", "calls"),
    ],
)
def test_make_knows_its_targets(target: str) -> None:
    done = subprocess.run(
        ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_says_what_is_wrong_with_an_old_python(tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for python, words in ((str(old), "is too old"), ("no-such-python", "was not found")):
        done = subprocess.run(
            ["make", "setup", f"PYTHON={python}", f"VENV={tmp_path}/venv"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert words in done.stderr.splitlines()[0]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_what_make_has_built_for_a_call_is_added_to(tmp_path: Path) -> None:
    log, venv = tmp_path / "log", tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    for name in ("python", "pipecat-responses"):
        program = venv / "bin" / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\n')
        program.chmod(0o755)
    for target in ("voice", "chat", "setup", "voice", "chat"):
        subprocess.run(
            ["make", target, f"PYTHON={venv}/bin/python", f"VENV={venv}", "ARGS="],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
    ran = log.read_text()
    assert "--clear" not in ran
    assert [found[1] for found in re.finditer(r" -e \.\[(\w+)\]", ran)] == ["voice", "dev"]
