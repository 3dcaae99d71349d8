"""`toolstack isolation --machine xen` from its options to its exit status."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console

from toolstack.config import GuestConfig
from toolstack.isolation.result import Result
from toolstack.isolation.stubdom.order import Place
from toolstack.isolation.xen import table
from toolstack.isolation.xen.judge import Cell, Judgement, cells, places_of_a_stub_domain
from toolstack.isolation.xen.outside import Seen, harm, look, written_in
from toolstack.isolation.xen.scene import Scene, require_host, scene
from toolstack.isolation.xen.simulated import Simulated, simulated
from toolstack.isolation.xen.trial import Key, Opening, from_a_stub_domain, from_dom0
from toolstack.progress import Progress
from xenstore_sim.wire.names import DomId

_WIDTH: Final = 100
"""Where the output is no terminal that has a width."""


async def isolation_on_xen(
    config: GuestConfig, beside: Path | None, progress: Progress, *, json: bool
) -> int:
    """The exit status: 0 if nothing got through, else 1. Standard output: the tables.

    config: names a stub domain's kernel and initramfs. beside: what the simulation said earlier;
    None: it is made first. progress: is told of what could not be taken away.
    Raises: HandoffError if the scene cannot be set.
    """
    # The simulation takes its time, and is worth nothing alone.
    require_host(config)
    judgement = await examine_xen(config, await simulated(beside), progress)
    if json:
        print(table.as_json(judgement))
    else:
        width = None if sys.stdout.isatty() else _WIDTH
        table.show(judgement, Console(width=width, highlight=False))
    return 0 if judgement.well else 1


async def examine_xen(
    config: GuestConfig,
    beside: Mapping[str, Simulated],
    progress: Progress,
    opening: Opening | None = None,
) -> Judgement:
    """Every attempt judged, from each place; with an opening only from the stub domain.

    Raises: HandoffError.
    """
    started = time.monotonic()
    results: dict[Key, Result] = {}
    found: list[str] = []
    async with scene(config, progress) as stage:
        before = await look(stage)

        async def after(stubdom: DomId) -> None:
            # While the stub domain is there, whose place the others take.
            if opening is None:
                results.update((await from_dom0(stage, Place.PROCESS, stubdom)).results)
            found.extend(await _seen(stage, before))
            if opening is None:
                results.update((await from_dom0(stage, Place.CONTROL, stubdom)).results)

        heard = await from_a_stub_domain(stage, after, opening)
    results.update(heard.results)
    places = [*places_of_a_stub_domain(heard.reloaded)]
    if opening is None:
        places.append(Place.PROCESS)
    judged: tuple[Cell, ...] = cells(results, places, beside)
    return Judgement(judged, heard.reloaded, tuple(found), time.monotonic() - started)


async def _seen(stage: Scene, before: Seen) -> list[str]:
    """What is not as it should be, from outside."""
    found = list(harm(before, await look(stage)))
    if not written_in(stage, stage.target):
        found.append("what a device model writes to its target is not there")
    return found
