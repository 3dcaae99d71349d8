"""From what happened to a verdict, an attempt a row. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from handoff.confinement import Layer, State
from toolstack.isolation.attempt import Attempt, Group
from toolstack.isolation.attempts import ATTEMPTS
from toolstack.isolation.bystander import Wellbeing
from toolstack.isolation.lies import LIES
from toolstack.isolation.promises import Barrier, Beyond, Promise
from toolstack.isolation.trial import Result, Trial

_NO_OFF_SWITCH = "its checks are the program; the truth told the same way boots"


class Verdict(Enum):
    """What a row says. Only the first three are well."""

    STOPPED = "stopped"
    ALLOWED = "allowed"
    UNPROVEN = "stopped, unproven"
    """nothing got through, and it could not be shown that it would without the barrier"""
    THROUGH = "GOT THROUGH"
    DENIED = "DENIED"
    """what is its right was refused"""
    HUNG = "HUNG"

    @property
    def well(self) -> bool:
        return self in (Verdict.STOPPED, Verdict.ALLOWED, Verdict.UNPROVEN)


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt and what came of it.

    control: with nothing in the way; None where `unproven` says why it was not made.
    behind: with the layer taken away that comes first, seccomp; None beyond the process.
    """

    group: Group
    name: str
    promise: Promise
    barrier: Barrier | None
    unproven: str
    control: Result | None
    confined: Result
    behind: Result | None

    @property
    def verdict(self) -> Verdict:
        if self.confined.hung:
            return Verdict.HUNG
        if self.barrier is None:
            return Verdict.ALLOWED if self.confined.through else Verdict.DENIED
        if self.confined.through:
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


def judge(
    control: Trial,
    confined: Trial,
    behind: Trial,
    told: dict[str, Result],
    bystander: Wellbeing,
    seconds: float,
) -> Judgement:
    """The rows, in the order of the attempts."""
    rows = [
        _row(group, attempt, control, confined, behind)
        for group, attempts in ATTEMPTS
        for attempt in attempts
    ]
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
    missing = tuple(layer for layer, state in confined.states.items() if state is not State.APPLIED)
    return Judgement(tuple(rows), missing, bystander, seconds)


def _row(group: Group, attempt: Attempt, control: Trial, confined: Trial, behind: Trial) -> Row:
    within = not isinstance(attempt.barrier, Beyond) and attempt.barrier is not None
    return Row(
        group,
        attempt.name,
        attempt.promise,
        attempt.barrier,
        attempt.unproven,
        control.results.get(attempt.name),
        confined.results[attempt.name],
        behind.results.get(attempt.name) if within else None,
    )
