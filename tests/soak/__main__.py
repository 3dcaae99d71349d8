"""The soak: `python -m tests.soak --handoffs 2000 --plot docs/soak.svg`.

Ends with status 1 if descriptors, threads or nodes grew.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import trio

from tests.soak.handoffs import Sample, handoffs
from tests.soak.plot import panels, svg
from tests.soak.trend import higher, tenths, verdict

_REPORT_EVERY = 100


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--handoffs", type=int, default=2000, help="how many; 2000")
    parser.add_argument("--plot", type=Path, help="draw them into this SVG")
    options = parser.parse_args()
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}", flush=True)
    samples = trio.run(_collect, options.handoffs)
    if options.plot is not None:
        window = max(1, len(samples) // 100)
        options.plot.write_text(svg(panels(samples, window), len(samples)))
    print("\n".join(summary(samples)))
    return 1 if grown(samples) else 0


async def _collect(count: int) -> list[Sample]:
    samples: list[Sample] = []
    async with aclosing(handoffs(count)) as running:
        async for sample in running:
            samples.append(sample)
            if len(samples) % _REPORT_EVERY == 0:
                print(f"{len(samples)} handoffs, {sample.milliseconds:.0f} ms", flush=True)
    return samples


def grown(samples: Sequence[Sample]) -> tuple[str, ...]:
    """What is higher in the second half than it ever was in the first."""
    counts: dict[str, Callable[[Sample], int]] = {
        "descriptors of xenstored": lambda s: s.daemon.descriptors,
        "descriptors of the toolstack": lambda s: s.toolstack.descriptors,
        "threads of xenstored": lambda s: s.daemon.threads,
        "threads of the toolstack": lambda s: s.toolstack.threads,
        "nodes": lambda s: s.nodes,
    }
    return higher(samples, counts)


def summary(samples: Sequence[Sample]) -> list[str]:
    """The first and the last tenth beside each other, by medians."""
    rows: dict[str, Callable[[Sample], float]] = {
        "xenstored: RSS, MiB": lambda s: s.daemon.rss_kib / 1024,
        "xenstored: descriptors": lambda s: s.daemon.descriptors,
        "xenstored: threads": lambda s: s.daemon.threads,
        "toolstack: RSS, MiB": lambda s: s.toolstack.rss_kib / 1024,
        "toolstack: descriptors": lambda s: s.toolstack.descriptors,
        "toolstack: threads": lambda s: s.toolstack.threads,
        "one handoff, ms": lambda s: s.milliseconds,
        "its CPU time, ms": lambda s: s.cpu_milliseconds,
    }
    return [*tenths(samples, rows), verdict(grown(samples))]


if __name__ == "__main__":
    sys.exit(main())
