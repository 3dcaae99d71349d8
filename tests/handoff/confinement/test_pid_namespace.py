"""The process goes on as the first of a pid namespace; what was started waits outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.handoff.confinement.trials import DEADLINE_S, ENVIRONMENT, ROOT

CONFINED = """
import ctypes, os, sys
from handoff.confinement import *
prepared = prepare(mode=Mode.AUTO, keep_fds=(0, 1, 2))
report = confine(prepared, Profile.DEVICE_MODEL)
outcome = report.outcome(Layer.PID_NAMESPACE)
print(outcome.state.name, os.getpid(), os.getppid(), outcome.detail, flush=True)
{body}
"""


@contextmanager
def confined(body: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The started process, and what the one inside said of itself."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", CONFINED.format(body=body)],
        env=ENVIRONMENT,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline().split(maxsplit=3)
            if said[0] != "APPLIED":
                pytest.skip(f"no pid namespace here: {said[-1]}")
            yield process, said
        finally:
            process.kill()


def test_it_is_the_first_process_and_its_parent_is_outside() -> None:
    with confined("") as (process, (_, pid, parent, detail)):
        assert (pid, parent) == ("1", "0")
        assert detail.strip() == f"its own, process {process.pid} waits outside"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 0),
        ("sys.exit(25)", 25),
        ("os._exit(255)", 255),
        ("ctypes.string_at(0)", -signal.SIGSEGV),
    ],
    ids=["well", "status", "highest status", "signal"],
)
def test_the_waiter_ends_as_the_one_inside_ended(body: str, status: int) -> None:
    with confined(body) as (process, _):
        assert process.wait(DEADLINE_S) == status


@pytest.mark.skipif(os.getuid() != 0, reason="only root may look at a process that is not dumpable")
def test_the_waiter_has_nothing_but_its_child() -> None:
    with confined("sys.stdin.read()") as (process, _):
        place = Path(f"/proc/{process.pid}")
        with waiting(process):
            assert os.listdir(place / "fd") == []
            status = dict(
                line.split(":\t", 1) for line in (place / "status").read_text().splitlines()
            )
            assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {
                "0" * 16
            }
            assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@contextmanager
def waiting(process: subprocess.Popen[str]) -> Iterator[None]:
    """Once the waiter has come to its wait, the last thing it does."""
    place = Path(f"/proc/{process.pid}/syscall")
    wait4 = {"x86_64": "61", "aarch64": "260"}[os.uname().machine]
    while place.read_text().split()[0] != wait4:
        os.sched_yield()
    yield


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda n: n.name)
def test_when_the_waiter_is_killed_so_is_the_one_inside(number: signal.Signals) -> None:
    with confined("sys.stdin.read()") as (process, _):
        assert process.stdout is not None
        process.send_signal(number)
        # The pipe ends when the last process that writes to it does.
        assert process.stdout.read() == ""
        assert process.wait(DEADLINE_S) == -number


def test_a_waiter_whose_starter_is_gone_takes_the_one_inside_along() -> None:
    starter = (
        "import subprocess, sys, os\n"
        "subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=1, stdin=0)\n"
        "sys.stdin.read(1)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    inside = CONFINED.format(body="import time\nwhile True: time.sleep(60)")
    with subprocess.Popen(
        [sys.executable, "-c", starter, inside],
        env=ENVIRONMENT,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdin.write("x")
        process.stdin.flush()
        assert process.stdout.read() == ""
