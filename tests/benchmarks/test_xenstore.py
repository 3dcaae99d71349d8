from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.xenstore import python_loop as python_loop_module
from benchmarks.xenstore.daemons import running
from benchmarks.xenstore.load import Load, LoadFailed, Round
from benchmarks.xenstore.native import Native
from benchmarks.xenstore.stage import Stage
from benchmarks.xenstore.steps import Op, Step, text
from tests.benchmarks.programs import LIMIT_S

ROOT = Path(__file__).parents[2]
DAEMONS = ["floor", "C", "ox", "ours"]
ROWS = [
    "read",
    "write",
    "directory of 10",
    "mkdir + rm",
    "transaction, empty",
    "transaction, read + write",
    "transaction, conflict",
    "connect, read, hang up",
    "50 reads pipelined, each",
    "50 writes pipelined, each",
    "64 clients read at once, each",
    "64 clients write at once, each",
    "write, 1,000 foreign watches",
    "write, 10,000 foreign watches",
    "write told to 100 watchers",
    "directory of 1,000",
    "mkdir + rm among 1,000",
    "ring: read",
    "ring: write",
    "ring: transaction, read + write",
    "100,000 nodes: read",
    "100,000 nodes: write",
    "100,000 nodes: mkdir + rm",
    "100,000 nodes: transaction",
]
MODES = ["pinned", "unpinned"]
TIME = r"\d+\.\d\d"


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.xenstore", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def python_loop(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.xenstore.python_loop", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def test_every_daemon_answers_every_row_in_both_modes_as_it_must(tmp_path: Path) -> None:
    document = tmp_path / "samples.json"

    # It ends with 1 where an answer is another than the row says.
    ran = benchmark("--quick", "--json", str(document))

    assert (ran.returncode, ran.stderr) == (0, "")
    row = rf"^(\S.*?) +(?:{TIME} +){{7}}\({TIME}-{TIME}\) +\d+\.\d !? +{TIME}$"
    assert re.findall(row, ran.stdout, re.MULTILINE) == ROWS * 2
    titles = re.findall(r"^(\w+): client and daemons on CPU", ran.stdout, re.MULTILINE)
    assert titles == MODES
    assert re.fullmatch(r"aims reached: \d+ of 48", ran.stdout.splitlines()[-1])

    written = json.loads(document.read_text())
    assert [(each["mode"], each["row"]) for each in written["rows"]] == [
        (mode, row) for row in ROWS for mode in MODES
    ]
    for each in written["rows"]:
        assert list(each["daemons"]) == DAEMONS
        assert all(time > 0 for of in each["daemons"].values() for time in of["wall_us"])
    assert {what: list(of) for what, of in written["memory"].items()} == dict.fromkeys(
        ["at rest", "a connection", "its first watch", "a node"], DAEMONS
    )


def test_an_answer_other_than_the_expected_one_is_noticed(tmp_path: Path) -> None:
    native = Native.compiled(tmp_path)
    with running(native) as daemons, closing(Stage(daemons[0], Load(native.load))) as stage:
        asked = [Step.ask(stage.dom0, Op.READ, text("/node"), b"value")]
        zeros = Round(asked, answers_checked=False)
        stage.play(zeros)

        # The floor answers as many zeros.
        with pytest.raises(LoadFailed, match=r"^floor: step 0 got a message of type 2"):
            stage.play(Round(asked, answers_checked=True))


def test_refuses_to_measure_nothing() -> None:
    ran = benchmark("--repetitions", "0")

    assert ran.returncode == 2
    assert "must be at least 1" in ran.stderr


def test_the_bare_loop_stands_beside_both_daemons_in_every_row_it_can_answer() -> None:
    ran = python_loop("--quick")
    assert (ran.returncode, ran.stderr) == (0, "")
    head = r"\| row \| aim \| floor, µs \| C, µs \| sockets x C \| descriptors x C \| ours x C \|"
    assert len(re.findall(rf"^{head}$", ran.stdout, re.MULTILINE)) == len(MODES)
    row = rf"^\| (.+?) \| \d+\.\d (?:\| {TIME} ){{5}}\|$"
    assert re.findall(row, ran.stdout, re.MULTILINE) == [*python_loop_module.ROWS] * 2
    assert re.findall(r"^(\w+):$", ran.stdout, re.MULTILINE) == MODES


def test_a_row_that_the_bare_loop_has_not_is_told() -> None:
    ran = python_loop("--rows", "ring")
    assert (ran.returncode, ran.stderr) == (
        1,
        "benchmarks.xenstore.python_loop: no row has ring in its name\n",
    )


def test_only_the_chosen_rows_are_played() -> None:
    ran = benchmark("--quick", "--rows", "directory", "--rows", "mkdir")
    assert (ran.returncode, ran.stderr) == (0, "")
    rows = [row for row in ROWS if "directory" in row or "mkdir" in row]
    assert ran.stdout.splitlines()[-1].endswith(f" of {2 * len(rows)}")
    assert "bytes of the daemon's memory" not in ran.stdout


def test_a_row_that_there_is_not_is_told() -> None:
    ran = benchmark("--quick", "--rows", "nosuch")
    assert (ran.returncode, ran.stderr) == (
        1,
        "benchmarks.xenstore: no row has nosuch in its name\n",
    )
