"""From what was told to verdicts: on whom an attempt was made, from which place. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolstack.isolation.result import Result
from toolstack.isolation.stubdom.attempt import Attempt, Claim, Group
from toolstack.isolation.stubdom.attempts import ATTEMPTS
from toolstack.isolation.stubdom.order import Place, Whom
from toolstack.isolation.verdict import Verdict
from toolstack.isolation.xen.simulated import Simulated

_NOT_TOLD = Result(False, "not told", hung=True)
"""Of an attempt that ended all others, or whose line was lost: no success."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of an attempt on one domain, or on the host.

    control: the same by root in dom0, on the bystander; None where it was not made.
    """

    attempt: Attempt
    place: Place
    of: Whom
    result: Result
    control: Result | None
    simulated: Simulated | None

    @property
    def claim(self) -> Claim:
        """A process of dom0 is left nothing of a device model's but its target's RAM."""
        if self.of is not Whom.TARGET:
            return Claim.FORBIDDEN
        mapping_only = self.place is Place.PROCESS and self.attempt.group is not Group.RAM
        if self.attempt.target is Claim.RIGHT and mapping_only:
            return Claim.OPEN
        return self.attempt.target

    @property
    def verdict(self) -> Verdict:
        if self.result.hung:
            return Verdict.HUNG
        match self.claim:
            case Claim.RIGHT:
                return Verdict.ALLOWED if self.result.through else Verdict.DENIED
            case Claim.OPEN:
                return Verdict.ALLOWED if self.result.through else Verdict.STOPPED
            case Claim.FORBIDDEN if self.result.through:
                return Verdict.THROUGH
        proven = self.control is not None and self.control.through
        return Verdict.STOPPED if proven else Verdict.UNPROVEN

    @property
    def reason(self) -> str:
        """Why it is unproven; empty if it is not."""
        if self.verdict is not Verdict.UNPROVEN:
            return ""
        failed = "" if self.control is None else f"fails unconfined, too: {self.control.what}"
        return self.attempt.unproven or failed or "not tried unconfined"


@dataclass(frozen=True, slots=True)
class Judgement:
    """All cells, and what was found from outside."""

    cells: tuple[Cell, ...]
    reloaded: Result | None
    """whether root in the stub domain could take Linux's limit away; None: not told"""
    harm: tuple[str, ...]
    seconds: float

    @property
    def well(self) -> bool:
        """Whether nothing got through and nobody was harmed."""
        return all(cell.verdict.well for cell in self.cells) and not self.harm

    def with_verdict(self, verdict: Verdict) -> Sequence[Cell]:
        return tuple(cell for cell in self.cells if cell.verdict is verdict)


def places_of_a_stub_domain(reloaded: Result | None) -> tuple[Place, ...]:
    """Where its root stood, as far as it did not say otherwise.

    reloaded: whether it could take Linux's limit away. None: that was not told, and what would
    have been tried without the limit is judged as all that is not told: as no proof.
    """
    if reloaded is None or reloaded.through:
        return (Place.STUB_DOMAIN, Place.XEN_ALONE)
    return (Place.STUB_DOMAIN,)


def cells(
    results: Mapping[tuple[Place, str, Whom], Result],
    places: Sequence[Place],
    simulated: Mapping[str, Simulated],
) -> tuple[Cell, ...]:
    """A cell for each attempt from each of `places`, in the order of the attempts; also for those
    of which nothing was told."""
    return tuple(
        _cell(attempt, place, whom, results, simulated)
        for place in places
        for attempt in ATTEMPTS
        if place is Place.STUB_DOMAIN or attempt.group is not Group.XENSTORE
        for whom in attempt.of
    )


def _cell(
    attempt: Attempt,
    place: Place,
    whom: Whom,
    results: Mapping[tuple[Place, str, Whom], Result],
    simulated: Mapping[str, Simulated],
) -> Cell:
    tried = Whom.BYSTANDER if Whom.BYSTANDER in attempt.of else whom
    counterpart = attempt.simulated[whom is not Whom.TARGET]
    return Cell(
        attempt,
        place,
        whom,
        results.get((place, attempt.name, whom), _NOT_TOLD),
        results.get((Place.CONTROL, attempt.name, tried)),
        simulated.get(counterpart) if counterpart is not None else None,
    )
