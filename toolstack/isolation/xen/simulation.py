"""The simulation's attempts that stand beside those of a real Xen, made on this host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from handoff.confinement import Mode
from toolstack.isolation.attempt import Attempt, Group
from toolstack.isolation.attempts import ATTEMPTS as SIMULATED
from toolstack.isolation.conversation import tell_all
from toolstack.isolation.judge import Row
from toolstack.isolation.lies import LIES
from toolstack.isolation.promises import Promise
from toolstack.isolation.result import Result
from toolstack.isolation.scene import scene
from toolstack.isolation.stubdom.attempts import ATTEMPTS
from toolstack.isolation.trial import CONFINED, CONTROL, Trial, run_trial
from toolstack.isolation.xen.simulated import Simulated

_NAMES = {name for attempt in ATTEMPTS for name in attempt.simulated}


async def simulate() -> Mapping[str, Simulated]:
    """What came of them, by name, with nothing in the way and as a device model is confined.

    Raises: HandoffError if the scene cannot be set.
    """
    made = [(group, each) for group, all_ in SIMULATED for each in all_ if each.name in _NAMES]
    attempts = [attempt for _, attempt in made]
    told = await tell_all(Mode.AUTO, [lie for lie in LIES if lie.name in _NAMES])
    async with scene() as stage:
        control = await run_trial(stage, CONTROL, [each for each in attempts if not each.unproven])
        confined = await run_trial(stage, CONFINED, attempts)
    rows = (*_of_attempts(made, control, confined), *_of_lies(told))
    return {row.name: Simulated(row.name, row.confined.what, row.verdict) for row in rows}


def _of_attempts(
    made: list[tuple[Group, Attempt]], control: Trial, confined: Trial
) -> Iterator[Row]:
    for group, attempt in made:
        yield Row(
            *(group, attempt.name, attempt.promise, attempt.barrier, attempt.unproven),
            control=control.results.get(attempt.name),
            confined=confined.results[attempt.name],
            behind=None,
        )


def _of_lies(told: Mapping[str, Result]) -> Iterator[Row]:
    for lie in LIES:
        if lie.name in told:
            yield Row(
                *(Group.PROTOCOL, lie.name, Promise.NO_LIE_BOOTS, lie.barrier, ""),
                control=None,
                confined=told[lie.name],
                behind=None,
            )
