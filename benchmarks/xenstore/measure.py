"""Plays each row on all daemons in turns, so that what else the machine does meets all of them."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from benchmarks.spread import Spread
from benchmarks.xenstore.load import Round
from benchmarks.xenstore.scenes import Row, Scene
from benchmarks.xenstore.stage import Stage

_WARM_UP: Final = 0.5
"""Of a sample's time."""


class Mode(Enum):
    """Where client and daemons run."""

    PINNED = "pinned"
    """All on one CPU: what a request costs both sides, and who is woken how often."""
    UNPINNED = "unpinned"
    """On two: what a user feels."""

    def cpus(self, allowed: Sequence[int]) -> set[int]:
        """Those of this mode, the last ones: the first takes most interrupts."""
        return set(allowed[-1:] if self is Mode.PINNED else allowed[-2:])

    def aim(self, row: Row) -> float:
        """How much faster than C ours is to be."""
        return row.pinned_aim if self is Mode.PINNED else row.unpinned_aim


@dataclass(frozen=True, slots=True)
class Sample:
    """A part of a round, on average over some time. CPU times are those in the kernel, too."""

    wall_us: float
    daemon_us: float
    """CPU time of the daemon."""
    client_us: float
    """CPU time of the client."""

    def time_us(self, mode: Mode) -> float:
        """What counts. Where all share a CPU, nobody waits but for another: on a machine with
        nothing else to do both CPU times are the wall time, and other load does not disturb them.
        """
        return self.daemon_us + self.client_us if mode is Mode.PINNED else self.wall_us


@dataclass(frozen=True, slots=True)
class Result:
    """A row in a mode, with each daemon's samples in the order in which they were taken."""

    row: Row
    mode: Mode
    samples: dict[str, tuple[Sample, ...]]

    def time_us(self, name: str) -> Spread:
        """The time of a part."""
        return Spread.of(each.time_us(self.mode) for each in self.samples[name])

    def daemon_us(self, name: str) -> Spread:
        """The daemon's CPU time for it."""
        return Spread.of(each.daemon_us for each in self.samples[name])

    def times_faster(self, name: str, other: str) -> Spread:
        """How many times as fast `name` is as `other`, neighbour by neighbour."""
        pairs = zip(self.samples[other], self.samples[name], strict=True)
        return Spread.of(
            theirs.time_us(self.mode) / ours.time_us(self.mode) for theirs, ours in pairs
        )


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure."""

    repetitions: int
    sample_s: float


def measure(
    scenes: Sequence[Scene],
    stages: Sequence[Stage],
    effort: Effort,
) -> Iterator[Result]:
    """Every row in every mode. Raises: LoadFailed."""
    allowed = sorted(os.sched_getaffinity(0))
    try:
        for scene in scenes:
            for stage in stages:
                scene.prepare(stage)
            for row in scene.rows:
                rounds = [stage.round(row.steps(stage)) for stage in stages]
                for mode in Mode:
                    _confine(mode.cpus(allowed), stages)
                    yield _row(row, mode, list(zip(stages, rounds, strict=True)), effort)
            for stage in stages:
                stage.leave()
    finally:
        os.sched_setaffinity(0, allowed)


def _row(row: Row, mode: Mode, played: Sequence[tuple[Stage, Round]], effort: Effort) -> Result:
    samples: dict[str, list[Sample]] = {stage.daemon.name: [] for stage, _ in played}
    for number in range(effort.repetitions + 1):
        for stage, steps in played:
            seconds = effort.sample_s if number else effort.sample_s * _WARM_UP
            daemon, client = cpu_ns(stage.daemon.pid), time.thread_time_ns()
            taken = stage.play(steps, seconds)
            client, daemon = time.thread_time_ns() - client, cpu_ns(stage.daemon.pid) - daemon
            if number:
                parts = taken.rounds * row.parts
                sample = Sample(
                    taken.seconds * 1e6 / parts, daemon / 1e3 / parts, client / 1e3 / parts
                )
                samples[stage.daemon.name].append(sample)
    return Result(row, mode, {name: tuple(of) for name, of in samples.items()})


def _confine(cpus: set[int], stages: Sequence[Stage]) -> None:
    os.sched_setaffinity(0, cpus)
    for stage in stages:
        for task in _tasks(stage.daemon.pid):
            os.sched_setaffinity(int(task.name), cpus)


def _tasks(pid: int) -> tuple[Path, ...]:
    return tuple(Path(f"/proc/{pid}/task").iterdir())


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process so far."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in _tasks(pid))
