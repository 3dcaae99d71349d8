"""The protocol keeps its laws in every state that can be reached, and the document says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.documents import marked
from tests.protocol_explorer.diagrams import dom0_diagram, stubdom_diagram
from tests.protocol_explorer.explorer import Counterexample, Label, Step, explore
from tests.protocol_explorer.scenarios import HEAD, NAMES, PEACE, Row, row

ROWS = dict(zip(NAMES, marked("explored").splitlines()[2:-1], strict=True))


@pytest.fixture(scope="module", params=NAMES)
def found(request: pytest.FixtureRequest) -> Row:
    return row(request.param)


def test_every_state_keeps_the_laws_and_their_number_is_the_documents(found: Row) -> None:
    print(found)
    assert str(found) == ROWS[found.name]


def test_the_sum_in_the_document_is_the_sum() -> None:
    table = marked("explored").splitlines()
    assert "\n".join(table[:2]) == HEAD
    rows = [[cell.strip() for cell in line.split("|")] for line in table[2:]]
    for column in (2, 3):
        assert int(rows[-1][column]) == sum(int(each[column]) for each in rows[:-1])


def test_without_faults_all_runs_end_with_a_guest_that_runs() -> None:
    assert row(PEACE.name).outcomes == ("unpaused",)


# The explorer itself.


def walk(graph: dict[int, list[tuple[int, Label]]], final: set[int]) -> None:
    def steps(state: int) -> Iterator[Step[int]]:
        for to, label in graph.get(state, []):
            yield label, lambda to=to: to  # type: ignore[misc]

    explore(0, steps, final.__contains__)


GO = Label("a", "goes")
RESTARTS = Label("a", "restarts the clock", restarts_clock=True)
PASSES = Label("a", "its deadline passes", is_deadline=True)


@pytest.mark.parametrize(
    ("graph", "law"),
    [
        ({0: [(1, GO)]}, "nothing can happen"),
        ({0: [(1, GO), (2, PASSES)], 1: [(0, GO)]}, "no deadline ends"),
        ({0: [(1, RESTARTS), (2, PASSES)], 1: [(0, GO), (2, PASSES)]}, "a run without an end"),
        ({0: [(0, GO)]}, "nothing can happen"),
    ],
    ids=["dead end", "a state without a deadline", "a clock that is restarted", "no change"],
)
def test_a_run_that_does_not_end_as_it_should_is_found(
    graph: dict[int, list[tuple[int, Label]]], law: str
) -> None:
    with pytest.raises(Counterexample, match=law):
        walk(graph, {2})


def test_a_circle_that_a_deadline_always_ends_is_none() -> None:
    walk({0: [(1, GO), (2, PASSES)], 1: [(0, GO), (2, PASSES)]}, {2})


def test_a_counterexample_is_the_shortest_run_and_can_be_read() -> None:
    graph = {0: [(1, GO), (3, PASSES)], 1: [(2, GO)], 2: [(3, GO)]}
    with pytest.raises(Counterexample) as found:
        walk(graph, set())
    assert str(found.value) == (
        "nothing can happen, and this is no end, after 1 steps:\n   1  a       its deadline passes"
    )


@pytest.mark.parametrize("side", ["stubdom", "dom0"])
def test_the_diagrams_in_the_document_are_the_machines(side: str) -> None:
    drawn = stubdom_diagram() if side == "stubdom" else dom0_diagram()
    assert marked(f"diagram of {side}") == f"```mermaid\n{drawn}\n```"
