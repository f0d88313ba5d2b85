"""Session files: written while a call goes on, and read again."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from pipecat_responses import Inspector
from pipecat_responses.inspector import files
from pipecat_responses.inspector.files import FileSession, SessionFileError
from pipecat_responses.sandbox import Sandbox
from tests.faults.support import Talk, new_service, our_tasks, talking
from tests.inspector.support import KEY
from tests.support.hurry import Transport


async def recorded(
    sandbox: Sandbox, folder: Path, transport: Transport = "websocket", **kwargs: Any
) -> Path:
    """The file of a call of two turns."""
    llm = new_service(sandbox, transport, api_key=KEY)
    async with Inspector(llm, record=folder, **kwargs), Talk(llm) as talk:
        await talk.turn(f"My key is {KEY}.")
        await talk.turn("count to 3")
    (file,) = folder.glob("*.jsonl")  # noqa: ASYNC240
    assert our_tasks() == []
    return file


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_a_file_has_all_that_the_page_has(
    sandbox: Sandbox, tmp_path: Path, transport: Transport
) -> None:
    file = await recorded(sandbox, tmp_path / "calls", transport)
    text = file.read_text()
    assert KEY not in text
    session = FileSession.read(file)
    marks = session.marks(0, 1000)()
    assert [each["turn"] for each in marks if each["record"] == "turn"] == [1, 2]
    assert [each["outcome"] for each in marks if each["record"] == "turn ended"] == ["answered"] * 2
    wire = session.wire(0, 2**53, 1000)()
    events = [each for each in wire if each["record"] == "event"]
    deltas = [e for e in events if e["kind"] == "response.output_text.delta"]
    assert "".join(each["message"]["delta"] for each in deltas).endswith("1, 2, 3.")
    assert session.header()["ended"]
    # Without words it has none, and as much of everything else.
    silent = [line for later in session.whole(words=False) for line in later()]
    assert [(e["seq"], e["record"]) for e in silent] == [
        (e["seq"], e["record"]) for later in session.whole(words=True) for e in later()
    ]
    assert "count to" not in str(silent)
    # What is given as a file again is the same.
    again = tmp_path / "again.jsonl"
    lines = [line for later in session.whole(words=True) for line in later()]
    again.write_bytes(files.head_line(session.header(), words=True) + files.encode_lines(lines))
    assert FileSession.read(again).wire(0, 2**53, 1000)() == wire


async def test_without_words_only_lengths_are_written(sandbox: Sandbox, tmp_path: Path) -> None:
    file = await recorded(sandbox, tmp_path, words=False)
    text = file.read_text()
    assert "count to" not in text
    assert "1, 2, 3." not in text
    assert "<10 characters>" in text
    assert FileSession.read(file).header()["words"] is False
    kinds = {json.loads(line).get("kind") for line in text.splitlines()}
    assert "response.output_text.delta" in kinds


async def test_a_file_that_broke_off_is_read_up_to_there(sandbox: Sandbox, tmp_path: Path) -> None:
    file = await recorded(sandbox, tmp_path)
    whole = FileSession.read(file).header()["latest"]
    file.write_bytes(file.read_bytes()[:-3])
    assert FileSession.read(file).header()["latest"] == whole - 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("hello\n", "no JSON object"),
        ('{"format":"pipecat-resp', "no JSON object"),
        ("[\n" + "1,\n" * 9, "no JSON object"),
        ('{"a":"' + "x" * 200_000 + '"}', "no JSON object"),
        ("{}\n", "does not say so"),
        ('{"format":"pipecat-responses session","version":9}\n', "version 9.*a newer pipecat"),
        ('{"format":"pipecat-responses session","version":"0"}\n', "version 0, .* reads 1\n"),
        ('{"format":"pipecat-responses session","version":1}\n{"seq":"x"}\n', "line 2"),
        ('{"format":"pipecat-responses session","version":1}\n[1]\n', "line 2"),
        (
            '{"format":"pipecat-responses session","version":1}\n'
            '{"seq":2,"record":"x"}\n{"seq":1,"record":"x"}\n',
            "line 3",
        ),
    ],
)
def test_what_is_no_session_file_is_refused(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(SessionFileError, match=why):
        FileSession.read(file)


async def test_a_long_file_takes_no_memory(sandbox: Sandbox, tmp_path: Path) -> None:
    file = await recorded(sandbox, tmp_path)
    head, *rows = file.read_text().splitlines()
    lines = [json.loads(row) for row in rows]
    latest = lines[-1]["seq"]
    with file.open("w") as long:
        long.write(head + "\n")
        for number in range(300):
            for line in lines:
                told = {**line, "seq": line["seq"] + number * latest}
                long.write(json.dumps(told) + "\n")
    tracemalloc.start()
    session = FileSession.read(file)
    kept, _ = tracemalloc.get_traced_memory()
    found = session.search("count to")()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert file.stat().st_size > 5_000_000
    assert kept < 400_000
    assert most < 1_000_000
    assert session.header()["latest"] == 300 * latest
    assert len(found) >= 300
    (line,) = session.some([found[-1]])()
    assert line["seq"] == found[-1]


async def test_a_folder_that_cannot_be_written_does_no_harm(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    async with talking(sandbox, "websocket") as talk, Inspector(talk.llm, record=blocked):
        assert (await talk.turn("count to 2")).text == "1, 2."


async def test_what_comes_too_fast_to_be_written_is_left_out(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_PENDING", 3000)
    file = await recorded(sandbox, tmp_path)
    assert 1 <= len(FileSession.read(file).marks(0, 1000)()) < 15
