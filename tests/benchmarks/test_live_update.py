from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.programs import LIMIT_S

ROOT = Path(__file__).parents[2]


def test_each_daemon_is_measured_with_a_small_and_a_large_store() -> None:
    command = [sys.executable, "-m", "benchmarks.live_update", "--repetitions", "1"]
    ran = subprocess.run(
        [*command, "--nodes", "300"], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert ran.returncode == 0, ran.stderr
    rows = re.findall(r"^(C|ours) +(\S+) +([\d.]+) +\S+ +(\d+) +[\d.]+$", ran.stdout, re.MULTILINE)
    assert [row[:2] for row in rows] == [("C", "1"), ("ours", "1"), ("C", "300"), ("ours", "300")]
    assert all(float(pause) > 0 for _, _, pause, _ in rows)
