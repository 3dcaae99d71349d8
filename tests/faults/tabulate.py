"""The record of a campaign as Markdown: a row a step, a column a fault, outcomes in the cells."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.faults.steps import RequestStep
from tests.faults.summary import outcome_class
from tests.faults.trial import STAGES, AtRandom, Blow, InItsLife, Surroundings
from tests.faults.victim import Victim

_LETTERS = {
    "booted": "b",
    "retried": "r",
    "refused": "x",
    "ran, error": "e",
    "killed, no boot": "k",
    "killed, guest ran": "g",
}
_BLOWS = {
    Blow.KILL: "kill",
    Blow.STOP: "stop",
    Blow.PAUSE: "pause",
    Blow.BUS: "SIGBUS",
    Blow.TERM: "SIGTERM",
    Blow.CUT: "cut",
    Blow.HOLD: "hold",
}
_VICTIMS = {
    Victim.TOOLSTACK: "T",
    Victim.DEVICE_MODEL: "D",
    Victim.WAITER: "DW",
    Victim.XENSTORE: "X",
    Victim.MACHINE: "M",
    Victim.MACHINE_WAITER: "MW",
    Victim.QEMU: "Q",
}
_FAULTS = {
    f"{blow.value} of {victim.value}": f"{short} {letter}"
    for blow, short in _BLOWS.items()
    for victim, letter in _VICTIMS.items()
}
_OWN = " (own xenstore)"
_RANDOM = (str(AtRandom()), str(InItsLife()))

Result = Mapping[str, object]


def markdown(results: Iterable[Result]) -> Iterator[str]:
    """Lines. What was not injected is left out."""
    results = [result for result in results if result["injected"]]
    groups: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for result in results:
        step, fault = str(result["step"]), str(result["fault"])
        outcome = outcome_class(str(result["outcome"]))
        when, _, request = step.partition(" ")
        if when in ("before", "after"):
            groups["request"].append((request, _FAULTS[fault], outcome))
        elif step.endswith(_OWN):
            groups["stage"].append((step.removesuffix(_OWN), _FAULTS[fault], outcome))
        elif step in _RANDOM:
            groups["at random"].append((step, _FAULTS[fault], outcome))
        else:
            groups["whole run"].append((fault, "outcome", outcome))
    orders: dict[str, Sequence[str]] = {
        "request": [step.value for step in RequestStep],
        "stage": STAGES,
        "at random": _RANDOM,
        "whole run": [one.value for one in Surroundings],
    }
    for name, order in orders.items():
        yield from _table(name, order, groups[name])
    letters = ", ".join(f"{letter} {name}" for name, letter in _LETTERS.items())
    yield f"{letters}."


def _table(name: str, order: Sequence[str], cells: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    counted: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row, column, outcome in cells:
        counted[row, column][outcome] += 1
    used = {column for _, column in counted}
    columns = [column for column in (*_FAULTS.values(), "outcome") if column in used]
    if not columns:
        return
    yield f"| {name} | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for row in order:
        words = [_cell(counted[row, column]) for column in columns]
        if any(words):
            yield f"| {row} | {' | '.join(words)} |"
    yield ""


def _cell(outcomes: Counter[str]) -> str:
    return " ".join(
        f"{outcomes[name]}{letter}" for name, letter in _LETTERS.items() if outcomes[name]
    )
