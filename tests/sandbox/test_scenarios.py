"""Scenario files, in Python, over HTTP and from the command line."""

import builtins
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pipecat_responses.sandbox import Sandbox, ScenarioError
from pipecat_responses.sandbox.scenario import read_scenario, scenario_from_json

from .test_stubs import Control, said, with_result
from .wire import function_tool, post, stream, user

WEATHER = """\
name: weather
pace: {first: 0, tokens_per_second: 5000}
config: {lanes: rejected}
answers:
  - when: weather
    call: {get_weather: {city: Paris}}
    expect: {tools: [get_weather], incremental: false}
  - when: {result: get_weather}
    say: It is sunny in Paris today.
    fault: {kind: incomplete, moment: text, after: 3}
  - say: Goodbye.
    pace: {tokens_per_second: 1000}
    expect: {user: bye, model: gpt-4.1, transport: http, items: 1, remembers: 1}
"""


@pytest.fixture
def weather(tmp_path: Path) -> Path:
    path = tmp_path / "weather.yaml"
    path.write_text(WEATHER)
    return path


async def test_a_scenario(sandbox: Sandbox, weather: Path) -> None:
    run = sandbox.play(weather)
    assert sandbox.config.lanes == "rejected"
    assert sandbox.config.tokens_per_second == 5000
    assert len(run.problems) == 3
    _, body = await post(sandbox, "The weather?", tools=[function_tool("get_weather")])
    assert body["output"][0]["arguments"] == '{"city": "Paris"}'
    events = await stream(sandbox, with_result("The weather?"))
    assert events[-1]["type"] == "response.incomplete"
    assert await said(sandbox, "Bye.") == "Goodbye."
    run.check()
    assert "You said" in await said(sandbox, "Bye.")


async def test_what_went_otherwise(sandbox: Sandbox, weather: Path) -> None:
    sandbox.play(weather)
    await said(sandbox, "Hello.", model="gpt-5")
    await post(sandbox, "The weather?")
    assert sandbox.scenario is not None
    with pytest.raises(AssertionError, match="The scenario 'weather' went otherwise") as raised:
        sandbox.scenario.check()
    assert str(raised.value).splitlines()[1:] == [
        "  answers[2]: user was 'Hello.', not 'bye'",
        "  answers[2]: model was 'gpt-5', not 'gpt-4.1'",
        "  answers[0]: tools was [], not ['get_weather']",
        "  answers[1] (result 'get_weather') was not come to",
    ]


async def test_every_kind_of_answer(sandbox: Sandbox) -> None:
    sandbox.play(
        scenario_from_json(
            {
                "answers": [
                    {"say": ["one", "two"]},
                    {"say": "both", "call": ["f", {"g": {"a": 1}}]},
                    {"fail": 503},
                    {"fail": {"status": 429, "code": "rate_limit_exceeded"}},
                    {"answer": {"parts": [{"type": "refusal", "text": "No."}]}, "times": 2},
                ]
            }
        )
    )
    assert [await said(sandbox, "x") for _ in range(2)] == ["one", "two"]
    _, body = await post(sandbox, "x")
    assert [item.get("name") for item in body["output"]] == [None, "f", "g"]
    assert [(await post(sandbox, "x"))[0] for _ in range(2)] == [503, 429]
    for _ in range(2):
        _, body = await post(sandbox, [user("x")])
        assert body["output"][0]["content"][0]["type"] == "refusal"
    assert sandbox.scenario is not None
    sandbox.scenario.check()
    sandbox.reset()
    assert sandbox.scenario is None


async def test_what_broke_off_goes_on(sandbox: Sandbox) -> None:
    fault = {"kind": "incomplete", "moment": "text", "after": 2}
    sandbox.play(scenario_from_json({"answers": [{"say": "It is sunny.", "fault": fault}] * 2}))
    _, body = await post(sandbox, "x")
    assert body["status"] == "incomplete"
    broken = [user("x"), {"role": "assistant", "content": "It is"}]
    broken.append({"role": "developer", "content": "Continue where you were interrupted."})
    assert await said(sandbox, broken) == " sunny."
    # The second one is for what is asked next.
    assert len(sandbox.requests) == 2
    assert (await post(sandbox, "x"))[1]["status"] == "incomplete"


@pytest.mark.parametrize("kind", ["json", "yaml"])
async def test_over_http(sandbox: Sandbox, kind: str) -> None:
    origin = sandbox.session("mine").origin
    text = WEATHER
    if kind == "json":
        text = json.dumps({"name": "weather", "answers": [{"say": "x"}] * 3})
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{origin}/_sandbox/scenario",
            data=text,
            headers={"content-type": f"application/{kind}"},
        ) as answer,
    ):
        told = await answer.json()
    assert (answer.status, told["name"], len(told["problems"])) == (200, "weather", 3)
    assert (await Control(origin)("GET", "/_sandbox/scenario"))[1] == told
    assert (await Control(sandbox.origin)("GET", "/_sandbox/scenario"))[1] is None
    assert (await Control(origin)("POST", "/_sandbox/scenario", {"answers": 1}))[0] == 400


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "the scenario: an object is what is expected"),
        ({}, "a scenario has a list of them"),
        ({"answers": []}, "a scenario has a list of them"),
        ({"answer": []}, "the scenario has no 'answer'; it has name, config, pace, answers"),
        ({"answers": ["x"]}, "answers[0]: an object"),
        ({"answers": [{}]}, "answers[0]: say, call, answer or fail"),
        ({"answers": [{"say": "x", "fail": 1}]}, "say and fail do not go together"),
        ({"answers": [{"say": "x", "times": 0}]}, "answers[0].times: a number"),
        ({"answers": [{"say": "x", "when": 1}]}, "answers[0]: when is a text, or an object"),
        ({"answers": [{"say": "x", "when": {"colour": "x"}}]}, "has no 'colour'"),
        ({"answers": [{"say": "x", "expect": {"colour": "x"}}]}, "answers[0].expect has no"),
        ({"answers": [{"say": "x", "pace": {"first": "x"}}]}, "answers[0].pace.first: a number"),
        ({"answers": [{"say": "x", "fault": {"kind": "x"}}]}, "answers[0]: Unknown kind 'x'"),
        ({"answers": [{"say": "x", "fault": "reset"}]}, "answers[0]: A fault is an object"),
        ({"answers": [{"say": True}]}, "answers[0]: say is a text; put True into quotes"),
        ({"answers": [{"say": ["x", {}]}]}, "answers[0]: say is a text; put {} into quotes"),
        ({"answers": [{"call": 1}]}, "answers[0]: "),
        ({"answers": [{"say": "x"}], "config": {"colour": 1}}, "config: The configuration has no"),
    ],
)
def test_what_is_no_scenario(value: Any, message: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        scenario_from_json(value)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", "{"), ("a.yaml", "a: [\n"), ("a.yaml", "\xff"), ("a.yaml", "answers: 1")],
)
def test_files_that_are_none(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ScenarioError, match=name):
        read_scenario(path)


def test_yaml_without_its_package(weather: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = builtins.__import__

    def gone(name: str, *args: Any) -> Any:
        if name == "yaml":
            raise ModuleNotFoundError(name=name)
        return there(name, *args)

    monkeypatch.setattr(builtins, "__import__", gone)
    with pytest.raises(RuntimeError, match=r"pipecat-responses\[scenarios\]"):
        read_scenario(weather)
