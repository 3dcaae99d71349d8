"""Handoffs whose processes are stopped at random moments: `python -m tests.faults.stalls`.

A stage that does not come in two seconds is looked into, and then waited for: what is slow comes
at last, what was lost never does. Ends with status 1 if a stage was lost or a handoff failed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import trio

from handoff.store_values import Carrier
from tests.faults.processes import Process, children, send
from tests.faults.run import ROOT
from tests.faults.xenstored import Xenstored
from toolstack.console import Console
from toolstack.create import Request, create
from toolstack.demo import builtin_guest
from toolstack.domain_connection import StoreTransport
from toolstack.early_start import start_waiting
from toolstack.guest_run import Patience
from toolstack.json_lines import JsonProgress
from toolstack.machine.none import NoMachine

LATE_S = 2.0
"""The campaign's own deadline for a stage."""
LOST_S = 22.0
_DEADLINE_S = 40.0
"""The toolstack's, above both."""
_SHORTEST_STOP_S = 5e-5
_NO_CONSOLE = -1
_END = "left"
"""The last stage of a machine that never runs."""


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.stalls", description=__doc__)
    parser.add_argument("--handoffs", type=int, default=200, help="how many; 200")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stops", type=float, default=60, help="SIGSTOPs a second; 60")
    parser.add_argument("--longest", type=float, default=0.02, help="of them, seconds; 0.02")
    parser.add_argument("--own", action="store_true", help="xenstored is the toolstack's own")
    parser.add_argument("--worker", metavar="RUNDIR", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        trio.run(_hand_over_and_over, options.seed, options.worker)
        return 0
    with tempfile.TemporaryDirectory(prefix="stalls-") as name:
        return trio.run(_observe, options, Path(name))


async def _hand_over_and_over(seed: int, rundir: str) -> None:
    """The toolstack, until it is killed; each stage is a line of standard output."""
    dice = random.Random(seed)
    while True:
        waiting = start_waiting() if dice.random() < 0.7 else None
        request = Request(
            config=builtin_guest(),
            machine=NoMachine(hold_s=0.0),
            patience=Patience(None, None),
            carrier=dice.choice(list(Carrier)),
            stubdom_xenstore=dice.choice(list(StoreTransport)),
            xenstore=Path(rundir) if rundir else None,
            tries=1,
            stage_timeout_s=_DEADLINE_S,
            waiting=waiting,
        )
        try:
            await create(request, JsonProgress(sys.stdout), Console(_NO_CONSOLE))
        finally:
            if waiting is not None:
                waiting.abandon()


@dataclass(slots=True)
class Seen:
    handoffs: int = 0
    late: int = 0
    lost: int = 0
    gaps: dict[str, list[float]] = field(default_factory=dict)
    """seconds, by the stage that was waited for"""
    stops: list[float] = field(default_factory=list)


async def _observe(options: argparse.Namespace, directory: Path) -> int:
    """The exit status."""
    daemon = None if options.own else Xenstored(directory / "store", directory / "log")
    if daemon is not None:
        await daemon.start()
    seen = Seen()
    argv = [sys.executable, "-m", "tests.faults.stalls", "--seed", str(options.seed), "--worker"]
    toolstack = await trio.lowlevel.open_process(
        [*argv, "" if daemon is None else str(daemon.rundir)],
        stdin=None,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "XDG_RUNTIME_DIR": str(directory)},
    )
    try:
        async with trio.open_nursery() as nursery:
            if options.stops:
                nursery.start_soon(_stop_now_and_then, options, seen)
            assert toolstack.stdout is not None
            await follow(options.handoffs, toolstack.stdout, seen)
            nursery.cancel_scope.cancel()
    finally:
        toolstack.kill()
        with trio.CancelScope(shield=True):
            await toolstack.wait()
            if daemon is not None:
                await daemon.stop()
    print("\n".join(_summary(seen)))
    return 1 if seen.lost or seen.handoffs < options.handoffs else 0


async def _stop_now_and_then(options: argparse.Namespace, seen: Seen) -> None:
    dice = random.Random(options.seed + 1)
    shortest, longest = math.log(_SHORTEST_STOP_S), math.log(options.longest)
    while True:
        await trio.sleep(dice.expovariate(options.stops))
        family = _family(os.getpid())
        if family and send(victim := dice.choice(family).pid, signal.SIGSTOP):
            try:
                began = trio.current_time()
                await trio.sleep(math.exp(dice.uniform(shortest, longest)))
            finally:
                send(victim, signal.SIGCONT)
            seen.stops.append(trio.current_time() - began)


async def follow(handoffs: int, toolstack: trio.abc.ReceiveStream, seen: Seen) -> None:
    """Returns when so many were seen, a stage was lost or the toolstack has ended.

    toolstack: its stages as JSON lines.
    """
    rest, last = b"", trio.current_time()
    awaited = True
    while seen.handoffs < handoffs:
        with trio.move_on_after(LATE_S if awaited else LOST_S - LATE_S) as patience:
            data = await toolstack.receive_some()
        if patience.cancelled_caught and awaited:
            awaited = False
            seen.late += 1
            print(f"late after {seen.handoffs} handoffs:", *_look(), sep="\n  ", flush=True)
            continue
        if patience.cancelled_caught:
            seen.lost += 1
            print(f"LOST after {seen.handoffs} handoffs:", *_look(), sep="\n  ", flush=True)
            return
        if not data:
            return
        *lines, rest = (rest + bytes(data)).split(b"\n")
        for line in map(json.loads, lines):
            if line["event"] == "stage":
                now = trio.current_time()
                seen.gaps.setdefault(line["stage"], []).append(now - last)
                seen.handoffs += line["stage"] == _END
                last, awaited = now, True


def _look() -> list[str]:
    """Each process: where it is, and what it got of a processor and waited for one."""
    told = []
    for process in _family(os.getpid()):
        with suppress(OSError):
            place = Path(f"/proc/{process.pid}/wchan").read_text()
            had, waited, _ = Path(f"/proc/{process.pid}/schedstat").read_text().split()
            told.append(
                f"{process.pid} {process.state} in {place}, ran {int(had) / 1e9:.2f} s and waited"
                f" {int(waited) / 1e9:.2f} s for a processor: {process.command[-60:]!r}"
            )
    return told


def _family(pid: int) -> list[Process]:
    """All that it started, and what those did."""
    started = children(pid)
    return [*started, *(each for child in started for each in _family(child.pid))]


def _summary(seen: Seen) -> list[str]:
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    longest = sorted(seen.gaps.items(), key=lambda item: -max(item[1]))[:4]
    return [
        f"{seen.handoffs} handoffs, load {load}, {len(seen.stops)} stops, {sum(seen.stops):.0f} s"
        f" of them in all: {seen.late} stages later than {LATE_S:g} s, {seen.lost} lost",
        *(
            f"  {stage:11} median {median(gaps):5.2f} s, longest {max(gaps):5.2f} s"
            for stage, gaps in longest
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
