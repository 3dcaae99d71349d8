from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.programs import FOLDER, LIMIT_S, SECONDS, benchmark
from toolstack import images
from toolstack.images.cache import ENVIRONMENT_VARIABLE


def test_prints_both_sides_the_pairs_where_time_goes_and_the_ratio_last() -> None:
    images.ensure(("vmlinuz", "initrd.img"))

    ran = benchmark("boot_ratio", "--pairs", "1")

    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    pair = rf"toolstack {SECONDS} s  QEMU {SECONDS} s"
    assert [line for line in lines if re.fullmatch(rf"(warm-up|pair 1) +{pair}", line)] != []
    assert len([line for line in lines if re.search(pair, line)]) == 2
    for side in ("toolstack, s", "QEMU, s"):
        spread = rf"{side} +min {SECONDS}  median {SECONDS}  max {SECONDS}"
        assert [line for line in lines if re.fullmatch(spread, line)] != []
    assert re.fullmatch(r"pair by pair +min (\S+)  median \1  max \1", lines[-2])
    assert re.fullmatch(r"boot ratio \(toolstack / QEMU\): \d+\.\d\d", lines[-1])

    milestones = re.findall(rf"^  (\D+?) +({SECONDS}) +\+{SECONDS}$", ran.stdout, re.MULTILINE)
    assert sorted(milestones, key=lambda entry: float(entry[1])) == milestones
    # A stage of the device model may pass before the toolstack looks again.
    certain = ["created", "published", "ready", "unpaused", "first console byte", "user-space line"]
    assert [name for name, _ in milestones if name in certain] == certain


def test_without_images_it_says_how_to_get_them(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, FOLDER / "boot_ratio.py"],
        env={**os.environ, ENVIRONMENT_VARIABLE: str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )

    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert "run `make images`" in ran.stderr


def test_a_run_that_outlasts_its_deadline_ends_the_benchmark_with_one_line() -> None:
    images.ensure(("vmlinuz", "initrd.img"))

    ran = benchmark("boot_ratio", "--pairs", "1", "--deadline", "0.01")

    assert ran.returncode == 1
    assert re.fullmatch(r"boot_ratio: \S+ still ran after 0\.01 s.*\n", ran.stderr)


@pytest.mark.parametrize(
    "arguments", [("--pairs", "0"), ("--memory", "-1"), ("--deadline", "0"), ("--pairs", "x")]
)
def test_refuses_what_cannot_be_measured(arguments: tuple[str, str]) -> None:
    ran = benchmark("boot_ratio", *arguments)

    assert ran.returncode == 2
    assert arguments[0] in ran.stderr.splitlines()[-1]
