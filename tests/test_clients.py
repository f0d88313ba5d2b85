"""The list of other people's clients, and the page about them."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients.compliance import run_suite
from clients.document import DOCUMENT, marks
from clients.environments import SCRIPTS, NotInstalledError
from clients.roster import CASES, ROSTER, Client


def test_each_has_a_folder_of_its_own() -> None:
    assert len({each.folder for each in ROSTER}) == len(ROSTER)


@pytest.mark.parametrize("client", ROSTER, ids=lambda client: client.name)
def test_each_does_every_case(client: Client) -> None:
    script = (SCRIPTS / client.script).read_text(encoding="utf-8")
    assert all(case in script for case in CASES)


def test_the_page_has_them_all() -> None:
    begin, end = marks("table")
    table = DOCUMENT.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]
    wanted = [(each.name, transport) for each in ROSTER for transport in each.transports]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    assert [tuple(row[:2]) for row in rows[2:]] == wanted


async def test_what_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match="is it a checkout of Open Responses"):
        await run_suite(tmp_path)
