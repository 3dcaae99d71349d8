"""From what happened to a verdict, an attempt a row. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from handoff.confinement import Layer, State
from toolstack.isolation.attempt import Attempt, Group
from toolstack.isolation.attempts import ATTEMPTS
from toolstack.isolation.bystander import Wellbeing
from toolstack.isolation.lies import LIES
from toolstack.isolation.promises import Barrier, Beyond, Promise
from toolstack.isolation.result import Result
from toolstack.isolation.trial import Trial
from toolstack.isolation.verdict import Verdict

_NO_OFF_SWITCH = "its checks are the program; the truth told the same way boots"


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt and what came of it.

    control: with nothing in the way; None where `unproven` says why it was not made.
    behind: with the layer taken away that comes first, seccomp; None beyond the process.
    on_a_ring: the same over the other transport; None where xenstored has no part in it.
    """

    group: Group
    name: str
    promise: Promise
    barrier: Barrier | None
    unproven: str
    control: Result | None
    confined: Result
    behind: Result | None
    on_a_ring: Result | None = None

    @property
    def verdict(self) -> Verdict:
        made = [result for result in (self.confined, self.on_a_ring) if result is not None]
        if any(result.hung for result in made):
            return Verdict.HUNG
        if self.barrier is None:
            through = all(result.through for result in made)
            return Verdict.ALLOWED if through else Verdict.DENIED
        if any(result.through for result in made):
            return Verdict.THROUGH
        proven = self.control is not None and self.control.through
        return Verdict.STOPPED if proven else Verdict.UNPROVEN

    @property
    def reason(self) -> str:
        """Why it is unproven; empty if it is not."""
        if self.verdict is not Verdict.UNPROVEN:
            return ""
        failed = "" if self.control is None else f"fails unconfined, too: {self.control.what}"
        return self.unproven or failed


@dataclass(frozen=True, slots=True)
class Judgement:
    """All rows, the layers as they were, and how the bystander fared."""

    rows: tuple[Row, ...]
    missing: tuple[Layer, ...]
    """layers this kernel or this user does not have"""
    bystander: Wellbeing
    seconds: float

    @property
    def well(self) -> bool:
        """Whether nothing got through and nobody was harmed."""
        return all(row.verdict.well for row in self.rows) and not self.bystander.harm

    def with_verdict(self, verdict: Verdict) -> Sequence[Row]:
        return tuple(row for row in self.rows if row.verdict is verdict)


@dataclass(frozen=True, slots=True)
class Trials:
    """The attempts, made in every way."""

    control: Trial
    confined: Trial
    behind: Trial
    on_a_ring: Trial


def judge(
    trials: Trials,
    told: dict[str, Result],
    bystander: Wellbeing,
    seconds: float,
) -> Judgement:
    """The rows, in the order of the attempts."""
    rows = [_row(group, attempt, trials) for group, attempts in ATTEMPTS for attempt in attempts]
    rows += [
        Row(
            Group.PROTOCOL,
            lie.name,
            Promise.TARGET if lie.barrier is None else Promise.NO_LIE_BOOTS,
            lie.barrier,
            _NO_OFF_SWITCH,
            None,
            told[lie.name],
            None,
        )
        for lie in LIES
    ]
    states = trials.confined.states
    missing = tuple(layer for layer, state in states.items() if state is not State.APPLIED)
    return Judgement(tuple(rows), missing, bystander, seconds)


def _row(group: Group, attempt: Attempt, trials: Trials) -> Row:
    name = attempt.name
    on_a_ring = trials.on_a_ring.results.get(name)
    confined = trials.confined.results.get(name)
    if confined is None:
        # There is no ring on a socket.
        assert on_a_ring is not None
        confined, on_a_ring = on_a_ring, None
    within = not isinstance(attempt.barrier, Beyond) and attempt.barrier is not None
    return Row(
        group,
        name,
        attempt.promise,
        attempt.barrier,
        attempt.unproven,
        trials.control.results.get(name),
        confined,
        trials.behind.results.get(name) if within else None,
        on_a_ring,
    )
