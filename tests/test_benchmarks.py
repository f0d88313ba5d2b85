"""That the pieces of the benchmark run; no time is looked at."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from benchmarks import __main__ as command
from benchmarks import docs, material, measure, report, script
from benchmarks.contestants import ALL, OUR_HTTP, OUR_WS, PIPECAT_WS, Contestant, NoService
from benchmarks.heard import Heard, paid, tables
from benchmarks.model import Findings, Plot, Results, Strip, Timeline
from benchmarks.scenarios import SCENARIOS, tail, traffic, voice, voices
from benchmarks.server import Server
from benchmarks.stage import Stage

from pipecat_responses.testing import AutojumpEventLoop


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as running:
        await running.reset()
        yield running


def results(*, quick: bool = False) -> Results:
    findings = Findings("cpu", "CPU time of a turn", remarks=["A remark."])
    findings.table("cpu", "Times, ms", ["who", "10 items"], note="A note.").add("ours", 1.5)
    findings.at_most("a time", 1.5, 2, "ms")
    findings.at_least("a ratio", 20, 25)
    plot = Plot("cpu", "Times", "items", "ms")
    plot.line("ours WebSocket", {10: 1.5, 100: 1.6})
    findings.plots.append(plot)
    strips = [Strip("ours WebSocket: caller", [0.0, 0.5]), Strip("ours WebSocket: bot", [0.5, 0.0])]
    findings.timelines.append(Timeline("line", "A call", strips))
    return Results(measure.environment(), quick, [findings])


def test_the_command_line_knows_every_scenario() -> None:
    assert tuple(SCENARIOS) == command.NAMES


def test_a_quick_run_is_not_for_the_documentation() -> None:
    assert command.main(["--quick", "--write-docs"]) == 2


def test_checks_say_whether_a_bound_is_met() -> None:
    verdicts = [check.verdict for check in results().findings[0].checks]
    assert verdicts == ["PASS", "FALLS SHORT"]


def test_results_survive_json(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.json"
    report.save(results(), path)
    assert report.load(path) == results()


def test_figures_go_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Before.\n<!-- figures: cpu -->\nold\n<!-- end of figures -->\n"
        "<!-- figures: other -->\nkept\n<!-- end of figures -->\nAfter.\n",
        encoding="utf-8",
    )
    docs.write(results(), page)
    written = page.read_text(encoding="utf-8")
    assert "| ours | 1.5 |" in written
    assert "old" not in written
    assert "kept" in written
    assert written.startswith("Before.")
    assert written.endswith("After.\n")
    docs.write(results(), page)
    assert page.read_text(encoding="utf-8") == written


def test_a_part_of_a_run_leaves_the_rest_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- figures: cpu -->\nold\n<!-- end of figures -->\n"
        "<!-- figures: checks -->\nkept\n<!-- end of figures -->\n"
        "<!-- figures: environment -->\nkept too\n<!-- end of figures -->\n",
        encoding="utf-8",
    )
    docs.write(results(), page, whole=False)
    written = page.read_text(encoding="utf-8")
    assert "| ours | 1.5 |" in written
    assert "kept" in written
    assert "kept too" in written


def test_a_quick_run_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="full run"):
        docs.write(results(quick=True), tmp_path / "page.md")


def test_the_page_has_a_place_for_every_scenario() -> None:
    page = (command.ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    for name in ("environment", "checks", *SCENARIOS):
        assert f"<!-- figures: {name} -->" in page


def test_plots_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks import plots

    paths = plots.draw(results(), tmp_path)
    assert [path.name for path in paths] == ["cpu.svg", "line.svg"]
    assert all("<svg" in path.read_text(encoding="utf-8") for path in paths)


def test_percentiles() -> None:
    values = [float(n) for n in range(1, 101)]
    assert measure.percentile(values, 0.5) == 50
    assert measure.percentile(values, 0.99) == 99
    assert measure.percentile([7.0], 0.99) == 7


@pytest.mark.parametrize(
    ("value", "expected"), [(0.123456, 0.123), (12.345, 12.3), (98765.0, 98800), (0.0, 0)]
)
def test_numbers_are_rounded_to_what_they_are_worth(value: float, expected: float) -> None:
    assert measure.rounded(value) == expected


async def test_a_blocked_loop_is_seen() -> None:
    async with measure.longest_gap() as gap:
        time.sleep(0.03)  # noqa: ASYNC251 - this is what is to be seen
    assert gap.wall > 0.02


def test_conversations_have_the_length_that_was_asked_for() -> None:
    for make in (material.context, material.context_with_images, material.context_with_tools):
        assert len(make(20).get_messages()) == 20


async def test_a_pipeline_without_a_service_speaks() -> None:
    async with Stage(NoService(["Hello", " there."])) as stage:
        assert await stage.turn() == "Hello there."


@pytest.mark.parametrize("contestant", ALL, ids=lambda contestant: contestant.short)
async def test_everybody_answers(server: Server, contestant: Contestant) -> None:
    await server.reply("Hello there.")
    async with Stage(contestant.service(server.base_url), material.context(10)) as stage:
        await stage.ready()
        for number in range(2):
            stage.context.add_message({"role": "user", "content": f"Number {number}"})
            said = await stage.turn()
            stage.context.add_message({"role": "assistant", "content": said})
        stage.check()
    assert said == "Hello there."
    requests = await server.requests(history=True)
    websocket = contestant.transport == "websocket"
    assert [request.incremental for request in requests] == [False, websocket]
    assert len(requests[-1].history) == 13
    assert await server.requests() == []


@pytest.mark.parametrize("contestant", ALL, ids=lambda contestant: contestant.short)
async def test_tokens_carry_the_time_at_which_they_were_sent(
    server: Server, contestant: Contestant
) -> None:
    await server.beat(20, 1000)
    began = time.monotonic_ns()
    stamps: list[int] = []
    async with Stage(contestant.service(f"http://{server.metronome}/v1")) as stage:
        await stage.ready()
        stage.said.on_text = lambda text: stamps.extend(map(int, text.split()))
        stage.context.add_message({"role": "user", "content": "Go"})
        await stage.turn()
        stage.check()
    assert len(stamps) == 20
    assert stamps == sorted(stamps)
    assert began < stamps[0]
    assert stamps[-1] < time.monotonic_ns()
    assert await server.counts() == (1, 0)


@pytest.mark.parametrize("contestant", [OUR_WS, OUR_HTTP], ids=lambda contestant: contestant.short)
async def test_the_slow_link_carries(server: Server, contestant: Contestant) -> None:
    await server.reply("Hello there.")
    await server.shape(0.005, 1e6)
    async with Stage(contestant.service(f"http://{server.link}/v1"), material.context(4)) as stage:
        await stage.ready()
        assert await stage.turn() == "Hello there."
        stage.check()


@pytest.mark.parametrize(("contestant", "incremental"), [(PIPECAT_WS, 7), (OUR_WS, 11)])
async def test_every_third_reply_cut(
    server: Server, contestant: Contestant, incremental: int
) -> None:
    stage = await traffic._every_third_cut(server, contestant)
    sent = await traffic._sent(server, stage)
    assert (sent.requests, sent.incremental, sent.right) == (12, incremental, True)


async def test_the_server_process_says_what_is_wrong(server: Server) -> None:
    with pytest.raises(RuntimeError, match="has no 'nonsense'"):
        await server.script({"nonsense": 1})


@pytest.mark.parametrize(("contestant", "incremental"), [(PIPECAT_WS, 0), (OUR_WS, 2)])
async def test_a_list_behind_a_voice(server: Server, contestant, incremental: int) -> None:  # type: ignore[no-untyped-def]
    call = voices._shape(material.SHAPES["a list"], 3)
    outcome = await voices._outcome(server, contestant, "word", call)
    assert (outcome.requests, outcome.incremental, outcome.right) == (3, incremental, True)


def test_the_script_has_every_kind_of_turn() -> None:
    turns = script.turns(300)
    assert [turn.number for turn in turns] == list(range(1, 301))
    kinds = [turn.kind for turn in turns[:12]]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "plain": 7,
        "function": 2,
        "search": 2,
        "interrupted": 1,
    }
    assert [turn.number for turn in turns if turn.is_new] == list(range(25, 301, 25))
    assert {turn.node for turn in turns} == set(range(script.NODES))


async def test_a_scripted_call(server: Server) -> None:
    await server.reset()
    await server.tail()
    await server.shape(0.0, 1e9)
    turns = [
        script.Turn(1, "function", 0, is_new=False),
        script.Turn(2, "interrupted", 0, is_new=False),
        script.Turn(3, "search", 1, is_new=True),
    ]
    call = tail.Call("A", tail.contestants()[tail.EVERYTHING](f"http://{server.link}/v1"))
    async with call.stage as stage:
        await stage.ready()
        await call.take(turns)
        [(who, bill)] = (await server.bills()).items()
    assert who == "A"
    assert bill["requests"] == 4 + bill["repeats"] + bill["preparations"]
    assert 0 < bill["cached"] < bill["input"]
    assert len(call.heard.waits) == 4
    assert set(call.heard.silences) == set(call.heard.answers) == {"function", "search"}
    assert call.heard.answers["search"][0] > 1.0


def test_tables_of_what_was_heard() -> None:
    heard = Heard()
    heard.note("plain", [(1.0, [(1.5, "Hello.")])], [(1.6, "Hello.")])
    heard.note(
        "function", [(2.0, [(2.5, "Wait.")]), (3.0, [(3.25, "Here it is.")])], [(2.75, "Wait.")]
    )
    heard.note("search", [(4.0, [(4.5, "Wait."), (6.0, "He"), (6.5, "re")])], [(4.5, "Wait.")])
    assert heard.waits == [0.5, 0.5, 0.25, 0.5]
    assert heard.silences == {"plain": [pytest.approx(0.6)], "function": [0.75], "search": [0.5]}
    assert heard.answers == {"function": [1.25], "search": [2.5]}
    with pytest.raises(RuntimeError, match="went wrong"):
        heard.note("plain", [(7.0, [])], [])
    bill = dict.fromkeys(
        ("cached", "repeats", "repeats_tokens", "preparations", "preparations_tokens"), 0
    )
    findings = Findings("tail", "Silences")
    bill |= {"requests": 4, "input": 4000, "output": 100}
    tables(findings, "tail", {"ours": heard}, {"ours": bill})
    assert [table.name for table in findings.tables] == [
        "tail",
        "tail_silences",
        "tail_answers",
        "tail_tokens",
    ]
    assert findings.tables[0].rows == [["ours", 500, 500, 500, 500]]
    assert paid(bill) == 4100


@pytest.mark.long_calls
def test_calls_with_sound_are_measured() -> None:
    times = voice.Times()
    with asyncio.Runner(loop_factory=AutojumpEventLoop) as runner:
        phone = runner.run(voice._call(OUR_WS, "ignored", 1, times))
    assert set(times.answers) == {kind for kind in voice.KINDS if "honoured" not in kind}
    # The commentary is heard while the search goes on.
    assert times.answers["search"][0] < voice.SEARCH
    assert phone.transport.played.peaks
