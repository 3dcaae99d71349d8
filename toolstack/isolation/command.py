"""`toolstack isolation` from its options to its exit status."""

from __future__ import annotations

import sys
import time

from rich.console import Console

from handoff.confinement import Layer, Mode
from toolstack.isolation.ablation import Weight, weigh
from toolstack.isolation.attempt import Attempt, Group
from toolstack.isolation.attempts import ATTEMPTS
from toolstack.isolation.conversation import tell_all
from toolstack.isolation.judge import Judgement, Trials, judge
from toolstack.isolation.promises import Beyond
from toolstack.isolation.scene import Scene, scene
from toolstack.isolation.table import as_json, show, show_weights
from toolstack.isolation.trial import CONFINED, CONTROL, ON_A_RING, Setting, run_trial

_WITHOUT_SECCOMP = Setting("without seccomp", without=(Layer.SECCOMP,))
_WIDTH = 100
"""Where the output is no terminal that has a width."""


async def isolation(*, json: bool, ablate: bool) -> int:
    """The exit status: 0 if nothing got through, else 1. Standard output: the tables.

    Raises: HandoffError if the scene cannot be set.
    """
    judgement, weights = await examine(tuple(Layer) if ablate else ())
    if json:
        print(as_json(judgement, weights))
    else:
        console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
        show(judgement, console)
        if weights:
            show_weights(weights, console)
    return 0 if judgement.well else 1


async def examine(layers: tuple[Layer, ...]) -> tuple[Judgement, tuple[Weight, ...]]:
    """Every attempt judged, and each of `layers` weighed. Raises: HandoffError."""
    started = time.monotonic()
    attempts = [attempt for _, group in ATTEMPTS for attempt in group]
    told = await tell_all(Mode.AUTO)
    async with scene() as stage:
        trials = await _every_way(stage, attempts)
        fared = stage.bystander.wellbeing()
        seconds = time.monotonic() - started
        judgement = judge(trials, told, fared, seconds)
        return judgement, await weigh(stage, attempts, layers)


async def _every_way(stage: Scene, attempts: list[Attempt]) -> Trials:
    """Nothing in the way; everything; everything but seccomp, which meets most of them first;
    and on xenstored by a ring."""
    groups = dict(ATTEMPTS)
    ringing = groups[Group.RING]
    on_sockets = [attempt for attempt in attempts if attempt not in ringing]
    to_prove = [attempt for attempt in attempts if not attempt.unproven]
    within = [
        attempt
        for attempt in attempts
        if attempt.barrier is not None and not isinstance(attempt.barrier, Beyond)
    ]
    return Trials(
        control=await run_trial(stage, CONTROL, to_prove),
        confined=await run_trial(stage, CONFINED, on_sockets),
        behind=await run_trial(stage, _WITHOUT_SECCOMP, within),
        on_a_ring=await run_trial(stage, ON_A_RING, (*groups[Group.XENSTORE], *ringing)),
    )
