#!/usr/bin/env python3
"""What the handoff itself costs, with next to no image bytes: time and xenstore round trips.

The built-in guest (a few KiB) is handed to a device model that has started before and waits
for its offer, on the `none` machine: no firmware, no emulator, nothing but the handoff.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence

import trio
from command import count, run
from handoff_run import Cost, measure
from spread import Spread

from handoff.errors import HandoffError
from handoff.store_values import Carrier

Costs = Mapping[Carrier, Sequence[Cost]]


def table(costs: Costs) -> list[str]:
    """Medians, a line a carrier."""
    columns: tuple[tuple[str, str, int, Callable[[Cost], float]], ...] = (
        ("start", "ms", 1, lambda cost: cost.start_ms),
        ("publish", "ms", 2, lambda cost: cost.publish_ms),
        ("-> ready", "ms", 2, lambda cost: cost.ready_ms),
        ("publish", "trips", 0, lambda cost: cost.round_trips.publish),
        ("follow", "trips", 0, lambda cost: cost.round_trips.follow),
        ("dev.model", "trips", 0, lambda cost: cost.round_trips.device_model),
        ("all", "trips", 0, lambda cost: cost.round_trips.all),
    )
    rows = [
        "medians   " + "".join(f"{name:>11}" for name, _, _, _ in columns),
        "carrier   " + "".join(f"{unit:>11}" for _, unit, _, _ in columns),
    ]
    for carrier, of in costs.items():
        medians = ((statistics.median(map(value, of)), form) for _, _, form, value in columns)
        rows.append(f"{carrier.value:10}" + "".join(f"{at:11.{form}f}" for at, form in medians))
    return rows


def stage_times(of: Sequence[Cost]) -> str:
    """`discovered 2.1  verified 3.0 ...`, medians; a stage may pass unseen in some runs."""
    names = max((cost.stages_ms for cost in of), key=len)
    words = []
    for name in names:
        seen = [cost.stages_ms[name] for cost in of if name in cost.stages_ms]
        words.append(f"{name} {statistics.median(seen):.1f}")
    return "  ".join(words)


def summary(costs: Costs) -> list[str]:
    """The table, how far the runs lie apart, the stages; the default carrier's cost last."""
    lines = [*table(costs), "", "published -> ready, ms"]
    for carrier, of in costs.items():
        lines.append(f"{carrier.value:10}{Spread.of(cost.ready_ms for cost in of).text(2)}")
    lines += ["", "when the toolstack knew of each stage, ms after published (medians)"]
    for carrier, of in costs.items():
        lines.append(f"{carrier.value:10}{stage_times(of)}")
    default = costs[Carrier.XENSTORE]
    ready = statistics.median(cost.ready_ms for cost in default)
    trips = statistics.median(cost.round_trips.all for cost in default)
    return [
        *lines,
        "",
        f"handoff cost (carrier xenstore): {ready:.1f} ms, {trips:.0f} xenstore round trips",
    ]


async def repeated(times: int) -> Costs:
    """`times` handoffs by each carrier, in turns, after one of each that does not count."""
    costs: dict[Carrier, list[Cost]] = {carrier: [] for carrier in Carrier}
    for number in range(times + 1):
        for carrier, of in costs.items():
            cost = await measure(carrier)
            if number:
                of.append(cost)
    return costs


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--repetitions",
        type=count,
        default=15,
        metavar="N",
        help="of each carrier, default: 15",
    )
    return parser.parse_args()


def main() -> None:
    chosen = options()
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"host      {os.cpu_count()} cores, load {load}, Python {platform.python_version()}")
    print("start     from the device model's process to its watch: interpreter, imports, sandbox")
    print("-> ready  from the end of publishing until the toolstack knows of `ready`")
    print("trips     requests of xenstored, counted by it and by the toolstack's connection")
    print(flush=True)
    print("\n".join(summary(trio.run(repeated, chosen.repetitions))))


if __name__ == "__main__":
    run("handoff_cost", main, HandoffError)
