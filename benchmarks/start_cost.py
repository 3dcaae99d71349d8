#!/usr/bin/env python3
"""What the programs' start costs: Python and all that is imported, before anything is done.

CPU time, which other programs on the machine disturb less than wall time; the least of some runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from command import count, run

STARTS: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "python": (),
        "trio": ("trio",),
        "device model": ("devicemodel.cli",),
        "toolstack, on Xen": ("toolstack.cli", "toolstack.xen.host"),
        "toolstack, a xenstored of its own": (
            *("toolstack.cli", "toolstack.simulated_host", "toolstack.machine.qemu"),
            "xenstore_sim.server",
        ),
    }
)
"""What each of them has imported when its work begins."""
_MODULES: Final = "import sys, os; os.write(1, str(len(sys.modules)).encode()); os._exit(0)"
"""Ends at once: what Python does when it ends is no part of a start."""


def started(modules: Sequence[str]) -> tuple[float, int]:
    """CPU time of one start in milliseconds, and how many modules it imported."""
    imports = f"import gc; gc.disable(); import {', '.join(modules)}; " if modules else ""
    command = (sys.executable, "-I", "-c", imports + _MODULES)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        imported = int(process.stdout.read())
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return (used.ru_utime + used.ru_stime) * 1e3, imported


def main() -> None:
    """Prints a row for each start. Raises: CalledProcessError."""
    parser = argparse.ArgumentParser(prog="benchmarks/start_cost.py", description=__doc__)
    parser.add_argument("--repetitions", type=count, default=15, metavar="N")
    repetitions = parser.parse_args().repetitions
    print(f"{'start of':36}{'CPU ms, least':>16}{'median':>9}{'modules':>10}")
    runs = [
        {name: started(modules) for name, modules in STARTS.items()} for _ in range(repetitions)
    ]
    for name in STARTS:
        times = [each[name][0] for each in runs]
        modules = runs[0][name][1]
        print(f"{name:36}{min(times):16.1f}{statistics.median(times):9.1f}{modules:10}")


if __name__ == "__main__":
    run("start_cost", main, subprocess.SubprocessError)
