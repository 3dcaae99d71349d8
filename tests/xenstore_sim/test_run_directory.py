"""Run directories: one daemon each, stale sockets removed, ours left clean."""

import os
import socket
import stat
from pathlib import Path

import pytest

from xenstore_sim.run_directory import DaemonRunning, RunDirectory, RunDirectoryError
from xenstore_sim.wire.names import DomId


def test_a_directory_is_made_locked_and_left_without_sockets(tmp_path: Path) -> None:
    with (
        RunDirectory(tmp_path / "a" / "run") as rundir,
        rundir.listen(rundir.socket_path),
        rundir.listen(rundir.domain_socket_path(DomId(5))),
    ):
        assert stat.S_IMODE(rundir.socket_path.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "a/run/domain/5").stat().st_mode) == 0o600
        assert (tmp_path / "a/run/lock").read_text() == f"{os.getpid()}\n"
    assert not rundir.socket_path.exists()
    assert not rundir.domain_socket_path(DomId(5)).exists()
    with RunDirectory(tmp_path / "a" / "run"):
        pass


def test_a_second_daemon_is_refused_with_the_process_id(tmp_path: Path) -> None:
    with RunDirectory(tmp_path), pytest.raises(DaemonRunning, match=f"process {os.getpid()}"):
        RunDirectory(tmp_path)


def test_a_foreign_daemon_without_our_lock_is_noticed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(str(tmp_path / "socket"))
        foreign.listen(1)
        with pytest.raises(DaemonRunning, match="a daemon that is not ours answers"):
            RunDirectory(tmp_path)
        assert (tmp_path / "socket").is_socket()


def test_stale_sockets_are_removed_and_other_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "domain").mkdir()
    (tmp_path / "domain" / "notes").write_text("mine")
    for name in ("socket", "domain/3"):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(tmp_path / name))
    with RunDirectory(tmp_path) as rundir:
        assert not (tmp_path / "domain/3").exists()
        rundir.listen(rundir.socket_path).close()
    assert (tmp_path / "domain" / "notes").read_text() == "mine"


def test_a_name_too_long_for_sockets_says_the_bound(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    with pytest.raises(RunDirectoryError, match=r"the system's bound is 107: choose .* shorter"):
        RunDirectory(long)
    assert not long.exists()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match=r"Not a directory .*choose a writable directory"):
        RunDirectory(tmp_path / "file" / "run")


def test_a_file_where_the_socket_belongs_is_left_and_named(tmp_path: Path) -> None:
    (tmp_path / "socket").write_text("mine")
    with pytest.raises(RunDirectoryError, match=r"/socket is there and is no socket: move it away"):
        RunDirectory(tmp_path)
    assert (tmp_path / "socket").read_text() == "mine"


def test_a_socket_name_that_is_too_long_is_named_not_its_directory(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 110)
    with pytest.raises(RunDirectoryError, match=f"{path} has {len(str(path))} bytes"):
        RunDirectory(tmp_path / "run", path)


def test_a_live_socket_of_another_kind_is_not_taken_for_stale(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "socket"))
        with pytest.raises(DaemonRunning):
            RunDirectory(tmp_path)
        assert (tmp_path / "socket").is_socket()
