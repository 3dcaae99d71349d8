"""A real stub domain reaches its target and nobody else, whoever of Linux and Xen is asked."""

from __future__ import annotations

import json

import pytest
import trio

from tests.toolstack.isolation.xen.test_document import TABLES
from tests.xen.play import Play
from tests.xen.scenarios import isolation, openings
from toolstack.isolation.xen.simulation import simulate

pytestmark = pytest.mark.xen

DEADLINE_S = isolation.LIMIT_S + 60
"""Where other programs use the processors, too; alone it takes a minute."""


@pytest.fixture(scope="module")
def simulated() -> str:
    """What the command says of the simulation: of the attempts that are shown beside."""
    found = trio.run(simulate).values()
    attempts = [
        {"name": each.name, "outcome": each.outcome, "verdict": each.verdict.value}
        for each in found
    ]
    return json.dumps({"attempts": attempts})


def test_nothing_gets_through_and_each_attempt_meets_what_the_document_says(
    play: Play, simulated: str
) -> None:
    ended = play(isolation.reaches, deadline_s=DEADLINE_S, simulated=simulated)
    said = [line.rstrip() for line in ended["said"].splitlines()]
    assert ended["errors"] == "", ended
    assert said[: len(TABLES)] == TABLES
    assert " 0 GOT THROUGH" in said[-1], said[-1]
    assert "DENIED" not in said[-1]
    assert "HUNG" not in said[-1]
    assert ended["status"] == 0


def test_an_opening_of_the_hosts_is_found_out(play: Play) -> None:
    """A node of the bystander's that the stub domain may write, and the bystander as its target."""
    told = play(openings.reaches_through_an_opening, deadline_s=DEADLINE_S, wrong_target=True)
    through = set(told["through"])
    for name in ("read RAM", "write RAM", "write a node", "create an ioreq server", "shut it down"):
        assert f"{name}: bystander, stub domain" in through, told
    assert all("bystander" in each for each in through), told
    assert "the bystander's RAM was changed" in told["harm"], told
    assert any("data/scratch was changed" in harm for harm in told["harm"]), told
    assert not told["well"]
