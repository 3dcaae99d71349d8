"""The soak of xenstore-sim: `python -m tests.soak.xenstore --requests 360000 --plot FILE.svg`.

360,000 requests are an hour of a host that makes a hundred a second. Ends with status 1 if
descriptors, threads, nodes, watches or connections grew.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import trio

from tests.soak.plot import Line, Panel, svg
from tests.soak.trend import higher, tenths, verdict
from tests.soak.xenstore_load import Round, rounds

_REPORT_EVERY = 50
_POINTS = 100


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.xenstore", description=__doc__)
    parser.add_argument("--requests", type=int, default=360_000, help="how many; 360000")
    parser.add_argument("--renew-every", type=int, default=40, metavar="ROUNDS", help="40")
    parser.add_argument("--plot", type=Path, help="draw them into this SVG")
    options = parser.parse_args()
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}", flush=True)
    samples = trio.run(_collect, options.requests, options.renew_every)
    if options.plot is not None:
        window = max(1, len(samples) // _POINTS)
        options.plot.write_text(svg(panels(samples, window), samples[-1].requests, "requests"))
    print("\n".join(summary(samples)))
    return 1 if grown(samples) else 0


async def _collect(requests: int, renew_every: int) -> list[Round]:
    samples: list[Round] = []
    async with aclosing(rounds(requests, renew_every)) as running:
        async for sample in running:
            samples.append(sample)
            if len(samples) % _REPORT_EVERY == 0:
                print(f"{sample.requests} requests, a READ {sample.read_us:.0f} us", flush=True)
    return samples


def grown(samples: Sequence[Round]) -> tuple[str, ...]:
    """What is higher in the second half than it ever was in the first."""
    counts: dict[str, Callable[[Round], int]] = {
        "descriptors": lambda s: s.daemon.descriptors,
        "threads": lambda s: s.daemon.threads,
        "nodes": lambda s: s.nodes,
        "watches": lambda s: s.watches,
        "connections": lambda s: s.connections,
    }
    return higher(samples, counts)


def summary(samples: Sequence[Round]) -> list[str]:
    """The first and the last tenth beside each other, by medians."""
    rows: dict[str, Callable[[Round], float]] = {
        "RSS, MiB": lambda s: s.daemon.rss_kib / 1024,
        "descriptors": lambda s: s.daemon.descriptors,
        "nodes": lambda s: s.nodes,
        "watches": lambda s: s.watches,
        "one READ, us": lambda s: s.read_us,
        "CPU time a request, us": lambda s: s.cpu_us,
    }
    renewed = sum(sample.renewed for sample in samples)
    return [
        f"{samples[-1].requests} requests in {len(samples)} rounds, renewed {renewed} times",
        *tenths(samples, rows),
        verdict(grown(samples)),
    ]


def panels(samples: Sequence[Round], window: int) -> tuple[Panel, ...]:
    """window: rounds whose median is one point."""

    def line(name: str, value: Callable[[Round], float]) -> Line:
        values = [value(sample) for sample in samples]
        portions = (values[at : at + window] for at in range(0, len(values), window))
        return Line(name, tuple(statistics.median(portion) for portion in portions))

    return (
        Panel("resident memory, MiB", (line("xenstored", lambda s: s.daemon.rss_kib / 1024),)),
        Panel("open descriptors", (line("xenstored", lambda s: s.daemon.descriptors),)),
        Panel(
            "nodes and watches",
            (line("nodes", lambda s: s.nodes), line("watches", lambda s: s.watches)),
        ),
        Panel(
            "microseconds",
            (
                line("one READ", lambda s: s.read_us),
                line("CPU a request", lambda s: s.cpu_us),
            ),
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
