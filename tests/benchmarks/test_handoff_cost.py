from __future__ import annotations

import re

from handoff.store_values import Carrier
from tests.benchmarks.programs import benchmark

CARRIERS = [carrier.value for carrier in Carrier]


def test_prints_times_and_round_trips_of_every_carrier_and_the_cost_last() -> None:
    ran = benchmark("handoff_cost", "--repetitions", "1")

    assert (ran.returncode, ran.stderr) == (0, "")
    rows = re.findall(
        r"^(\w+) +(\d+\.\d) +(\d+\.\d\d) +(\d+\.\d\d) +(\d+) +(\d+) +(\d+) +(\d+)$",
        ran.stdout,
        re.MULTILINE,
    )
    assert [row[0] for row in rows] == CARRIERS
    for _, *times, publish, follow, device_model, every in rows:
        assert all(float(time) > 0 for time in times)
        assert int(publish) + int(follow) + int(device_model) == int(every)
        # An offer is a transaction, an answer is read, and the device model read and wrote.
        assert min(int(publish), int(follow), int(device_model)) > 2
    spreads = re.findall(r"^(\w+) +min (\S+)  median \2  max \2$", ran.stdout, re.MULTILINE)
    assert [carrier for carrier, _ in spreads] == CARRIERS
    stages = re.findall(r"^(\w+) +.*\binserted \d+\.\d  ready \d+\.\d$", ran.stdout, re.MULTILINE)
    assert stages == CARRIERS
    assert re.fullmatch(
        r"handoff cost \(carrier xenstore\): \d+\.\d ms, \d+ xenstore round trips",
        ran.stdout.splitlines()[-1],
    )


def test_refuses_to_measure_nothing() -> None:
    ran = benchmark("handoff_cost", "--repetitions", "0")

    assert ran.returncode == 2
    assert "must be at least 1" in ran.stderr
