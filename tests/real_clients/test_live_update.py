"""Xen's own programs and library while another program takes our daemon's place."""

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_clients.daemons import SimulatedDaemon, environment, simulated
from tests.real_clients.libxenstore import Handle, Library, opened
from tests.real_clients.tools import private_program, run

UPDATES = 3


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[SimulatedDaemon]:
    """A daemon of its own for each test, as its process is replaced."""
    with simulated(tmp_path / "run", "4.17") as daemon:
        yield daemon


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The daemon as a program that xenstore-control can name."""
    path = tmp_path / "program"
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m xenstore_sim "$@"\n')
    path.chmod(0o700)
    return path


def update(daemon: SimulatedDaemon, program: Path) -> None:
    """As an administrator does it; returns when the other program answers."""
    control = private_program("xenstore-control")
    run(environment(daemon), control, "live-update", program)


def test_xenstore_watch_lives_through_updates(ours: SimulatedDaemon, program: Path) -> None:
    variables = environment(ours)
    with subprocess.Popen(
        ["stdbuf", "-oL", "xenstore-watch", "-n", str(1 + UPDATES), "/a"],
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
    ) as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline() == "/a\n"
        for number in range(UPDATES):
            update(ours, program)
            run(variables, "xenstore-write", f"/a/{number}", "v")
            assert watch.stdout.readline() == f"/a/{number}\n"
        assert watch.wait(30) == 0


def test_libxenstore_lives_through_updates_in_the_middle_of_a_transaction(
    ours: SimulatedDaemon, program: Path, library: Library
) -> None:
    with opened(library, ours.rundir / "socket") as handle:
        handle.watch("/a", "token")
        assert handle.read_watch() == ("/a", "token")
        transaction = handle.start()
        handle.write("/a/b", b"v", transaction)
        for _ in range(UPDATES):
            update(ours, program)
            assert handle.read("/a/b", transaction) == b"v"
        handle.end(transaction)
        assert handle.read_watch() == ("/a/b", "token")
        assert handle.read("/a/b") == b"v"


def test_libxenstore_works_on_while_it_is_updated(
    ours: SimulatedDaemon, program: Path, library: Library
) -> None:
    with opened(library, ours.rundir / "socket") as handle:
        stop = threading.Event()
        written = [0]
        worker = threading.Thread(target=_write_until, args=(stop, handle, written))
        worker.start()
        for _ in range(UPDATES):
            before = written[0]
            update(ours, program)
            while written[0] == before and worker.is_alive():
                os.sched_yield()
        stop.set()
        worker.join()
        assert handle.read("/n") == str(written[0]).encode()


def _write_until(stop: threading.Event, handle: Handle, written: list[int]) -> None:
    while not stop.is_set():
        number = written[0] + 1
        handle.write("/n", str(number).encode())
        assert handle.read("/n") == str(number).encode()
        written[0] = number


def test_xenstore_control_shows_why_a_program_does_not_take_over(
    ours: SimulatedDaemon,
) -> None:
    control = private_program("xenstore-control")
    failed = run(environment(ours), control, "live-update", "/bin/true", status=3)
    assert "Starting live update failed:\n/bin/true does not take over" in failed.stderr
    run(environment(ours), "xenstore-ls", "/")
