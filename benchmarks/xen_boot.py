"""Seconds of a boot on a real Xen, in the bed: libxl's direct boot beside our handoff.

    make bench-xen

Each guest is Debian's kernel with an initrd that ends in user space; the large one has ballast that
does not compress. An emulated machine: the ratios say more than the seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.xen.bed.build import build
from tests.xen.bed.errors import BedError
from tests.xen.machine import Machine
from tests.xen.protocol import Outcome
from tests.xen.scenarios import cost

DEADLINE_S: Final = 1200.0
POINTS: Final = ("created", "firmware starts", "firmware ends", "kernel starts", "user space")
"""The kernel starts when it has unpacked itself."""
WAYS: Final[dict[str, tuple[Callable[..., Any], dict[str, bool]]]] = {
    "libxl": (cost.of_libxl, {}),
    "dom0": (cost.of_handoff, {}),
    "stubdom": (cost.of_handoff, {"in_a_stub_domain": True}),
}
"""libxl: by QEMU's fw_cfg. The others: our handoff, by where the device model is."""


def main(words: Sequence[str]) -> int:
    """The exit status: 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="benchmarks/xen_boot.py", description=__doc__)
    parser.add_argument("--large", type=int, default=32, metavar="MiB", help="ballast; 0: none")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=tuple(WAYS))
    given = parser.parse_args(words)
    sizes = [64, *([given.large << 10] if given.large else [])]
    console = Path(tempfile.mkdtemp(prefix="xenbed-")) / "console.log"
    try:
        with Machine(build(), console) as machine:
            print(f"{'seconds until':<24}{'initrd':>10}" + "".join(f"{p:>17}" for p in POINTS))
            for kib in sizes:
                for name in (way for way in WAYS if way in given.ways):
                    print(_row(machine, name, kib), flush=True)
    except BedError as error:
        print(f"xen_boot: {error}", file=sys.stderr)
        return 1
    return 0


def _row(machine: Machine, name: str, kib: int) -> str:
    scenario, more = WAYS[name]
    answer = machine.run(
        f"{scenario.__module__}.{scenario.__qualname__}",
        DEADLINE_S,
        ballast_kib=kib,
        memory_mib=256 if kib < 1 << 14 else 512,
        **more,
    )
    if answer.outcome is not Outcome.DONE:
        raise BedError(f"{name}: {answer.outcome}: {answer.reason}\nconsole: {machine.console}")
    size = f"{kib / 1024 + 1:.0f} MiB"
    return f"{name:<24}{size:>10}" + "".join(f"{answer.facts[p]:>17.1f}" for p in POINTS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
