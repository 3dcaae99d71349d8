"""The command `xenstore-sim` as its users run it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from xenstore_sim.client import Client

COMMAND = (sys.executable, "-m", "xenstore_sim")
DEADLINE_S = 30


@contextmanager
def daemon(rundir: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A daemon that is ready; ended with the block if it still runs."""
    readable, writable = os.pipe()
    process = subprocess.Popen(
        [*COMMAND, "--rundir", str(rundir), "--ready-fd", str(writable), *options],
        pass_fds=[writable],
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writable)
    with process:
        try:
            assert os.read(readable, 100) == b"ready\n"
            yield process
        finally:
            os.close(readable)
            process.kill()


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_clean(tmp_path: Path, end: signal.Signals) -> None:
    with daemon(tmp_path) as process:
        assert (tmp_path / "socket").is_socket()
        process.send_signal(end)
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert errors == f"xenstore-sim: listening on {tmp_path}/socket\n"
    assert not (tmp_path / "socket").exists()


def test_a_second_one_is_refused_with_its_own_status(tmp_path: Path) -> None:
    with daemon(tmp_path) as process:
        second = run("--rundir", str(tmp_path))
        assert second.returncode == 3
        assert second.stderr == (
            f"xenstore-sim: {tmp_path}: xenstore-sim runs there, process {process.pid}:"
            " stop it or choose another directory\n"
        )


def test_after_a_kill_the_next_one_starts(tmp_path: Path) -> None:
    with daemon(tmp_path) as process:
        process.kill()
        process.wait(DEADLINE_S)
        assert (tmp_path / "socket").is_socket()
        with daemon(tmp_path):
            pass


def test_an_unusable_directory_has_its_own_status(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run("--rundir", str(tmp_path / "file" / "run"))
    assert refused.returncode == 4
    assert refused.stderr.startswith(f"xenstore-sim: {tmp_path}/file/run: Not a directory")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "Missing option '--rundir'"),
        (("--rundir", "x", "--compat", "4.1"), "'4.1' is not one of '4.17', '4.20', '4.22'"),
        (("--rundir", "x", "--quota", "cows=1"), "'cows' is no quota; there are nodes, watches"),
        (("--rundir", "x", "--quota", "nodes=many"), "'many' is no bound for nodes"),
    ],
)
def test_a_wrong_command_line_has_its_own_status(options: tuple[str, ...], text: str) -> None:
    refused = run(*options)
    assert refused.returncode == 2
    assert text in refused.stderr


async def test_options_reach_the_daemon(tmp_path: Path) -> None:
    with daemon(tmp_path, "--compat", "4.22", "--quota", "nodes=7", "--quota", "watches=0"):
        async with Client.connect(tmp_path / "socket") as client:
            shown = (await client.control("quota")).splitlines()
            features = await client.control("help")
    assert "nodes            :        7 nodes a domain may own" in shown
    assert "watches          :        0 watches a domain may have" in shown
    assert features.startswith("check ")
