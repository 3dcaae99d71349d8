"""What is explored, and how many states that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.protocol_explorer.explorer import Explored
from tests.protocol_explorer.hostile import hostile_stubdom, hostile_toolstack
from tests.protocol_explorer.model import AS_IT_IS, Code, Scenario, explored
from tests.protocol_explorer.state import Budget, State

QUIET = Scenario("events late and merged", Budget(), deadlines=False)
PEACE = Scenario("the same, two events come again", Budget(duplicates=2), deadlines=False)
DEATH_HEARD = Scenario("S dies", Budget(deaths=1), deadlines=False)
DEATHS = Scenario("S dies, deadlines pass", Budget(deaths=1), tries=2)
DAMAGE = Scenario("S dies, deadlines pass, RAM is damaged", Budget(deaths=1, damages=1), tries=2)
FAILURES = Scenario(
    "S dies, deadlines pass, a stage or the machine fails", Budget(deaths=1, failures=1), tries=2
)
INTERRUPTED = Scenario(
    "S dies, deadlines pass, dom0 is killed, cancelled or cut off",
    Budget(deaths=1, interruptions=1),
    tries=2,
)
LEFTOVERS = Scenario(
    "S dies, deadlines pass, its nodes stay for the next attempt",
    Budget(deaths=1),
    tries=2,
    nodes_stay=True,
)
SCENARIOS = (QUIET, PEACE, DEATH_HEARD, DEATHS, DAMAGE, FAILURES, INTERRUPTED, LEFTOVERS)
HOSTILE_S = "S writes anything at any time"
HOSTILE_DOM0 = "dom0 writes any offer, up to 4 times"
NAMES = (*(scenario.name for scenario in SCENARIOS), HOSTILE_S, HOSTILE_DOM0)


def run(name: str, code: Code = AS_IT_IS) -> Explored[State]:
    """Raises: Counterexample."""
    if name == HOSTILE_S:
        return hostile_stubdom(code)
    if name == HOSTILE_DOM0:
        return hostile_toolstack(code)
    (scenario,) = [scenario for scenario in SCENARIOS if scenario.name == name]
    return explored(scenario, code)


@dataclass(frozen=True, slots=True)
class Row:
    """What one scenario came to."""

    name: str
    states: int
    steps: int
    depth: int
    outcomes: tuple[str, ...]

    def __str__(self) -> str:
        outcomes = ", ".join(f"`{outcome}`" for outcome in self.outcomes)
        return f"| {self.name} | {self.states} | {self.steps} | {self.depth} | {outcomes or '-'} |"


HEAD = "| what happens | states | steps | depth | ends |\n|---|---|---|---|---|"


def row(name: str) -> Row:
    """Raises: Counterexample."""
    found = run(name)
    outcomes = {state.dom0.outcome for state in found.final} - {""}
    return Row(name, found.states, found.steps, found.depth, tuple(sorted(outcomes)))


def rows() -> Iterator[Row]:
    """All scenarios, the hostile ones last. Raises: Counterexample."""
    return map(row, NAMES)
