"""What the fixture gives a test; the fixture is the plugin's own."""

import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xenstore_sim.client import Client
from xenstore_sim.pytest_plugin.options import OptionError
from xenstore_sim.pytest_plugin.running import run_directory
from xenstore_sim.pytest_plugin.thread import DaemonFailed, DaemonThread
from xenstore_sim.pytest_plugin.xenstored import Xenstored
from xenstore_sim.server import Settings
from xenstore_sim.wire.errors import Disconnected, ProtocolViolation, RequestRefused
from xenstore_sim.wire.ops import Errno


def tool(xenstored: Xenstored, *command: str) -> subprocess.CompletedProcess[str]:
    """One of Xen's own tools, which finds the daemon by its environment."""
    environment = {**os.environ, **xenstored.environ}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_programs_find_the_daemon_by_their_environment(xenstored: Xenstored) -> None:
    assert tool(xenstored, "xenstore-write", "/a/b", "value").returncode == 0
    assert xenstored.read("/a/b") == b"value"
    xenstored.write("/a/c", "other")
    assert tool(xenstored, "xenstore-read", "/a/c").stdout == "other\n"


def test_nodes_are_read_and_written_as_dom0(xenstored: Xenstored) -> None:
    xenstored.write("/a/b", b"\x00\xff", perms="n3,r5")
    assert (xenstored.read("/a/b"), xenstored.perms("/a/b")) == (b"\x00\xff", "n3,r5")
    xenstored.write("/a/c", "")
    assert xenstored.ls("/a") == ("b", "c")
    xenstored.rm("/a/b")
    assert not xenstored.exists("/a/b")
    assert xenstored.read_or_none("/a/b") is None


def test_a_long_listing_comes_whole(xenstored: Xenstored) -> None:
    names = tuple(f"{'n' * 30}-{number}" for number in range(200))
    for name in names:
        xenstored.write(f"/a/{name}", "")
    assert xenstored.ls("/a") == names


def test_a_refusal_is_raised_with_errno_and_path(xenstored: Xenstored) -> None:
    with pytest.raises(RequestRefused) as refused:
        xenstored.read("/missing")
    assert (refused.value.errno, refused.value.path) == (Errno.ENOENT, "/missing")


def test_a_value_above_the_bound_is_refused_here(xenstored: Xenstored) -> None:
    with pytest.raises(ProtocolViolation, match="WRITE with a payload of 4100 bytes"):
        xenstored.write("/a", b"x" * 4097)


async def test_a_domain_connects_where_introduce_says(xenstored: Xenstored) -> None:
    xenstored.write("/local/domain/3", "", perms="n3")
    async with Client.connect(xenstored.introduce(3)) as dom3:
        await dom3.write("x", "v")
        assert xenstored.read("/local/domain/3/x") == b"v"
        assert xenstored.perms("/local/domain/3/x") == "n3"


async def test_a_destroyed_domain_loses_connection_socket_and_nodes(xenstored: Xenstored) -> None:
    xenstored.write("/local/domain/3", "")
    xenstored.write("/local/domain/3/own", "", perms="n3")
    path = xenstored.introduce(3)
    async with Client.connect(path) as dom3:
        xenstored.destroy(3)
        with pytest.raises(Disconnected):
            await dom3.read("x")
    assert not path.exists()
    assert xenstored.ls("/local/domain/3") == ()


async def test_a_shut_down_domain_is_told_and_stays(xenstored: Xenstored) -> None:
    path = xenstored.introduce(3)
    async with (
        Client.connect(xenstored.socket_path) as dom0,
        dom0.watch("@releaseDomain") as watch,
    ):
        assert (await watch.get()).path == "@releaseDomain"
        xenstored.shut_down(3)
        assert (await watch.get()).path == "@releaseDomain"
    assert path.is_socket()
    assert xenstored.ring_socket_path(3).is_socket()
    xenstored.release(3)
    assert not path.exists()


def test_the_hypervisor_has_the_domains_that_the_test_says(xenstored: Xenstored) -> None:
    xenstored.set_domain_exists({3}.__contains__)
    xenstored.introduce(3)
    with pytest.raises(RequestRefused):
        xenstored.introduce(4)


@pytest.mark.xenstored(compat="4.17", quotas={"nodes": 1, "node-size": 0})
async def test_the_marker_sets_release_and_quotas(xenstored: Xenstored) -> None:
    assert "help\t" in xenstored.control("help")
    xenstored.write("/local/domain/3", "", perms="n3")
    async with Client.connect(xenstored.introduce(3)) as dom3:
        with pytest.raises(RequestRefused) as refused:
            await dom3.write("x", "")
        assert refused.value.errno is Errno.ENOSPC


@pytest.mark.xenstored(faults="seed=3,eagain=1")
async def test_faults_meet_clients_and_not_the_test_itself(xenstored: Xenstored) -> None:
    async with Client.connect(xenstored.socket_path) as dom0:
        with pytest.raises(RequestRefused) as refused:
            async with dom0.begin() as transaction:
                await transaction.write("/a", "")
        assert refused.value.errno is Errno.EAGAIN
        xenstored.inject("eacces=1")
        with pytest.raises(RequestRefused):
            await dom0.read("/tool")
        assert xenstored.read("/tool") == b""
        xenstored.inject(None)
        assert await dom0.read("/tool") == b""
    assert [str(fault) for fault in xenstored.faults] == [
        "1: eagain (dom0, connection 1) TRANSACTION_END of transaction 1: refused, nothing was"
        " done",
        "2: eacces (dom0, connection 1) READ /tool: refused, nothing was done",
    ]


def test_a_plan_that_is_none_is_refused(xenstored: Xenstored) -> None:
    with pytest.raises(OptionError, match="faults='late=x': late=x: a rate is a number"):
        xenstored.inject("late=x")


def test_any_thread_may_use_it(xenstored: Xenstored) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: xenstored.write(f"/t/{number}", ""), range(100)))
    assert len(xenstored.ls("/t")) == 100
    assert xenstored.statistics().connections == 0


def test_what_a_call_raises_is_raised_where_it_was_made(xenstored: Xenstored) -> None:
    xenstored.set_domain_exists(lambda domid: bool(1 / 0))
    with pytest.raises(ZeroDivisionError):
        xenstored.introduce(3)
    assert xenstored.read("/") == b""


# -- the thread


def test_a_stopped_daemon_says_so() -> None:
    with run_directory() as rundir:
        daemon = DaemonThread(Path(rundir), Settings())
        assert "xenstored" in {each.name for each in threading.enumerate()}
        daemon.stop()
        daemon.stop()
        with pytest.raises(DaemonFailed, match="xenstored was stopped"):
            daemon.call(lambda handle: handle.statistics())
    assert "xenstored" not in {each.name for each in threading.enumerate()}


def test_a_directory_that_cannot_be_used_is_told_at_the_start() -> None:
    with pytest.raises(DaemonFailed, match="RunDirectoryError: /dev/null/x: Not a directory"):
        DaemonThread(Path("/dev/null/x"), Settings())
