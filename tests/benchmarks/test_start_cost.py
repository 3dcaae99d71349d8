from __future__ import annotations

import re

from tests.benchmarks.programs import benchmark


def test_prints_a_row_for_each_start_and_python_alone_imports_least() -> None:
    ran = benchmark("start_cost", "--repetitions", "1")

    assert (ran.returncode, ran.stderr) == (0, "")
    rows = re.findall(r"^(\S.*?) +(\d+\.\d) +(\d+\.\d) +(\d+)$", ran.stdout, re.MULTILINE)
    assert [name for name, *_ in rows] == [
        *("python", "trio", "device model", "toolstack, on Xen"),
        "toolstack, a xenstored of its own",
    ]
    assert all(float(least) > 0 for _, least, _, _ in rows)
    modules = {name: int(count) for name, _, _, count in rows}
    assert modules["python"] < modules["trio"] < modules["device model"]
    assert modules["toolstack, on Xen"] < modules["toolstack, a xenstored of its own"]


def test_refuses_to_measure_nothing() -> None:
    ran = benchmark("start_cost", "--repetitions", "0")

    assert ran.returncode == 2
    assert "must be at least 1" in ran.stderr
