"""Runs a benchmark as a person does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks"
LIMIT_S = 300

SECONDS = r"\d+\.\d{3}"


def benchmark(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python benchmarks/NAME.py ARGUMENTS`, ended."""
    return subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
