#!/usr/bin/env python3
"""How fast xenstore-sim is beside C xenstored and oxenstored, on the same requests.

One client in C plays each row on every daemon in turns and checks every answer. Pinned, all run
on one CPU, which measures what a request costs; unpinned, on two, which is what users feel.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.command import count, run
from benchmarks.xenstore.daemons import DaemonFailed, running
from benchmarks.xenstore.load import Load, LoadFailed
from benchmarks.xenstore.measure import Effort, Mode, Result, measure
from benchmarks.xenstore.memory import memory_taken
from benchmarks.xenstore.native import Native
from benchmarks.xenstore.scenes import LARGE, Scale, Scene, scenes
from benchmarks.xenstore.stage import Stage
from benchmarks.xenstore.table import LEGEND, as_json, memory_table, reached, table

_QUICK = Scale(100), Effort(repetitions=1, sample_s=0.001)
_SAMPLE_S = 0.05


def measured(
    scale: Scale, effort: Effort, wanted: Sequence[str], compiled: Path | None
) -> tuple[list[Result], dict[str, dict[str, float]]]:
    """All rows on fresh daemons, and what takes how much of their memory.

    wanted: parts of the names of rows; with any, only those, and no memory.
    compiled: where a copy of ours lies that is to be measured instead.
    """
    with ExitStack() as opened:
        directory = Path(opened.enter_context(TemporaryDirectory(prefix="xs-native-")))
        native = Native.compiled(directory)
        load = Load(native.load)
        memory = {} if wanted else _memory(native, load, scale.of(LARGE), compiled)
        stages = [
            opened.enter_context(closing(Stage(daemon, load)))
            for daemon in opened.enter_context(running(native, compiled))
        ]
        results = []
        chosen = chosen_scenes(scale, lambda name: _is_wanted(name, wanted))
        for result in measure(chosen, stages, effort):
            _progress(result)
            results.append(result)
    return results, memory


def _is_wanted(name: str, parts: Sequence[str]) -> bool:
    return not parts or any(part in name for part in parts)


def chosen_scenes(scale: Scale, wanted: Callable[[str], bool]) -> tuple[Scene, ...]:
    """The scenes with those of their rows whose names are wanted."""
    chosen = []
    for scene in scenes(scale):
        rows = tuple(row for row in scene.rows if wanted(row.name))
        if rows:
            chosen.append(replace(scene, rows=rows))
    return tuple(chosen)


def _memory(
    native: Native, load: Load, nodes: int, compiled: Path | None
) -> dict[str, dict[str, float]]:
    taken = {}
    with running(native, compiled) as fresh:
        for daemon in fresh:
            with closing(Stage(daemon, load)) as stage:
                taken[daemon.name] = memory_taken(stage, nodes)
    return {what: {name: of[what] for name, of in taken.items()} for what in taken["ours"]}


def _progress(result: Result | None) -> None:
    """Show what was measured last, on a terminal."""
    if sys.stderr.isatty():
        text = "" if result is None else f"{result.row.name}, {result.mode.value}"
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def circumstances(repetitions: int) -> list[str]:
    """What the figures depend on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return [
        f"host     {model}, {os.cpu_count()} CPUs, Linux {platform.release()}, load {_load()}",
        f"Python   {platform.python_version()}",
        f"samples  {repetitions} of each daemon in turns, after one that does not count",
        *LEGEND,
        "",
    ]


def _load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.xenstore", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument(
        "--repetitions", type=count, default=7, metavar="N", help="of each row, default: 7"
    )
    parser.add_argument(
        "--rows",
        action="append",
        default=[],
        metavar="PART",
        help="only rows with this in the name",
    )
    parser.add_argument(
        "--compiled",
        type=Path,
        metavar="DIR",
        help="measure this copy, as `make compiled` makes it",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there, too")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="try the benchmark: a hundredth of the sizes, one sample; the figures say nothing",
    )
    return parser.parse_args(words)


def main() -> None:
    chosen = options()
    scale, effort = _QUICK if chosen.quick else (Scale(), Effort(chosen.repetitions, _SAMPLE_S))
    cpus = sorted(os.sched_getaffinity(0))
    began = time.monotonic()
    if chosen.compiled is not None:
        print(f"ours     is the copy in {chosen.compiled}")
    print("\n".join(circumstances(effort.repetitions)), flush=True)
    results, memory = measured(scale, effort, chosen.rows, chosen.compiled)
    _progress(None)
    if not results:
        sys.exit(f"benchmarks.xenstore: no row has {' or '.join(chosen.rows)} in its name")
    for mode in Mode:
        rows = [result for result in results if result.mode is mode]
        print("\n".join(table(mode, sorted(mode.cpus(cpus)), rows)))
    if memory:
        print("\n".join(memory_table(memory)))
    if chosen.json is not None:
        document = {"load": os.getloadavg(), "memory": memory, "rows": as_json(results)}
        chosen.json.write_text(json.dumps(document, indent=1) + "\n")
    print(f"took {time.monotonic() - began:.0f} s, load at the end {_load()}")
    print(reached(results))


if __name__ == "__main__":
    run("benchmarks.xenstore", main, DaemonFailed, LoadFailed, subprocess.SubprocessError, OSError)
