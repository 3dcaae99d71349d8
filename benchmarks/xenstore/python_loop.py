#!/usr/bin/env python3
"""What the rows of benchmarks.xenstore cost a loop in Python that does nothing else.

In the same turns as the floor, C xenstored and xenstore-sim: how far the language itself is from
each aim, and how far xenstore-sim from the language.
"""

from __future__ import annotations

import argparse
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.command import count, run
from benchmarks.xenstore.__main__ import chosen_scenes, circumstances
from benchmarks.xenstore.daemons import (
    Daemon,
    DaemonFailed,
    RingEnd,
    c_xenstored,
    floor,
    ours,
    serving,
)
from benchmarks.xenstore.load import Load, LoadFailed
from benchmarks.xenstore.measure import Effort, Mode, Result, measure
from benchmarks.xenstore.native import Native
from benchmarks.xenstore.scenes import Scale
from benchmarks.xenstore.stage import Stage

ROWS: Final = (
    "read",
    "write",
    "mkdir + rm",
    "connect, read, hang up",
    "64 clients read at once, each",
    "64 clients write at once, each",
    "write, 10,000 foreign watches",
    "write told to 100 watchers",
    "mkdir + rm among 1,000",
)
"""What the loop can answer, and something is to be learned of."""
FLOOR: Final = "floor"
C: Final = "C"
SOCKETS: Final = "sockets"
DESCRIPTORS: Final = "descriptors"
OURS: Final = "ours"
SOCKETS_COMPILED: Final = "sockets compiled"
OURS_COMPILED: Final = "ours compiled"
LEGEND: Final = (
    "µs           median time of a row's round (of one part, where it says each): pinned, CPU time",
    "             of client and daemon; unpinned, wall time",
    "x C          how many times as fast as C: median, neighbour by neighbour",
    "sockets      the bare loop with an object of each socket; descriptors: with its number alone",
    "compiled     the same program, compiled by mypyc",
)
_SOURCE: Final = Path(__file__).with_name("bare_loop.py")
_ROOT: Final = Path(__file__).parents[2]
_COMPILE_S: Final = 300
_SAMPLE_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class _Bare:
    """The loop."""

    name: str
    pid: int
    socket_path: Path

    def introduction(self) -> bytes | None:
        return None

    def ring(self) -> RingEnd:
        # Nothing is played on it.
        return RingEnd(mmap.mmap(-1, mmap.PAGESIZE), -1, -1)


@contextmanager
def _bare(
    name: str, form: str, directory: Path, program: tuple[str | Path, ...]
) -> Iterator[_Bare]:
    path = directory / name.replace(" ", "-")
    command = (sys.executable, *program, form, path)
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    with serving(name, command, path, environment=environment) as process:
        yield _Bare(name, process.pid, path)


def _compiled(directory: Path) -> tuple[str, ...]:
    """How to run the loop compiled by mypyc, which is made in this directory."""
    shutil.copy(_SOURCE, directory)
    subprocess.run(
        (sys.executable, "-m", "mypyc", "--strict", _SOURCE.name),
        cwd=directory,
        env={**os.environ, "MYPYPATH": str(_ROOT), "MYPYC_OPT_LEVEL": "2"},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=_COMPILE_S,
    )
    start = f"import sys; sys.path.insert(0, {str(directory)!r}); import bare_loop"
    checked = "assert bare_loop.__file__.endswith('.so')"
    return "-c", f"{start}; {checked}; bare_loop.main()"


@contextmanager
def _running(native: Native, compiled: Path | None) -> Iterator[tuple[Daemon, ...]]:
    with ExitStack() as opened:
        directory = Path(opened.enter_context(TemporaryDirectory(prefix="xs-loop-")))
        daemons: list[Daemon] = [
            opened.enter_context(floor(native, directory)),
            opened.enter_context(c_xenstored()),
            opened.enter_context(_bare(SOCKETS, "sockets", directory, (_SOURCE,))),
            opened.enter_context(_bare(DESCRIPTORS, "descriptors", directory, (_SOURCE,))),
            opened.enter_context(ours(directory)),
        ]
        if compiled is not None:
            program = _compiled(directory)
            loop = _bare(SOCKETS_COMPILED, "sockets", directory, program)
            daemons.append(opened.enter_context(loop))
            daemons.append(opened.enter_context(ours(directory, compiled, OURS_COMPILED)))
        yield tuple(daemons)


def measured(
    scale: Scale, effort: Effort, wanted: Sequence[str], compiled: Path | None
) -> Iterator[Result]:
    """The rows on fresh daemons. wanted: their names."""
    with ExitStack() as opened:
        directory = Path(opened.enter_context(TemporaryDirectory(prefix="xs-native-")))
        native = Native.compiled(directory)
        load = Load(native.load)
        stages = [
            opened.enter_context(closing(Stage(daemon, load)))
            for daemon in opened.enter_context(_running(native, compiled))
        ]
        yield from measure(chosen_scenes(scale, lambda name: name in wanted), stages, effort)


def table(mode: Mode, results: Sequence[Result]) -> list[str]:
    """The rows of one mode, in Markdown."""
    names = [name for name in results[0].samples if name not in (FLOOR, C)]
    head = ("row", "aim", f"{FLOOR}, µs", f"{C}, µs", *(f"{name} x C" for name in names))
    lines = [head, ("---",) * len(head)]
    for result in results:
        ratios = (result.times_faster(name, C).median for name in names)
        times = (result.time_us(name).median for name in (FLOOR, C))
        lines.append(
            (
                result.row.name,
                f"{mode.aim(result.row):.1f}",
                *(f"{time:.2f}" for time in times),
                *(f"{ratio:.2f}" for ratio in ratios),
            )
        )
    return [f"{mode.value}:", "", *(f"| {' | '.join(line)} |" for line in lines), ""]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.xenstore.python_loop", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--repetitions", type=count, default=7, metavar="N")
    parser.add_argument("--rows", action="append", default=[], metavar="PART")
    parser.add_argument("--compiled", type=Path, metavar="DIR", help="measure this copy, too")
    parser.add_argument("--quick", action="store_true", help="try it; the figures say nothing")
    chosen = parser.parse_args()
    scale, effort = Scale(), Effort(chosen.repetitions, _SAMPLE_S)
    if chosen.quick:
        scale, effort = Scale(100), Effort(repetitions=1, sample_s=0.001)
    wanted = [name for name in ROWS if not chosen.rows or any(each in name for each in chosen.rows)]
    if not wanted:
        parts = " or ".join(chosen.rows)
        sys.exit(f"benchmarks.xenstore.python_loop: no row has {parts} in its name")
    print("\n".join(circumstances(effort.repetitions)[:3]))
    print("\n".join((*LEGEND, "")), flush=True)
    results = list(measured(scale, effort, wanted, chosen.compiled))
    for mode in Mode:
        print("\n".join(table(mode, [each for each in results if each.mode is mode])))
    print("load at the end " + " ".join(f"{value:.2f}" for value in os.getloadavg()))


if __name__ == "__main__":
    failures = (DaemonFailed, LoadFailed, subprocess.SubprocessError, OSError)
    run("benchmarks.xenstore.python_loop", main, *failures)
