"""Programs that are fine when they are tried and then fail to take over: nothing is lost."""

import socket
import sys
from pathlib import Path
from typing import Protocol

import pytest
import trio
from trio.testing import MockClock

from tests.xenstore_sim.replaceable import Replaceable, replaceable
from xenstore_sim.client import Client
from xenstore_sim.live_update import _started
from xenstore_sim.rehearsal import CHECK_OPTION
from xenstore_sim.succession import HandingOverFailed
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.perms import NodePerms

OURS = f'exec {sys.executable} -m xenstore_sim "$@"'
FEW_DESCRIPTORS = f"ulimit -n 12; {OURS}"
PATCHED = """exec {python} -c '
from xenstore_sim.succession import Succession
take = Succession.take
def other(self):
    state, descriptors = take(self)
    {change}
Succession.take = other
from xenstore_sim.__main__ import main
main()' "$@"
"""
DOM3 = DomId(3)


class Program(Protocol):
    def __call__(self, text: str, tried: str = ...) -> str: ...


def patched(change: str) -> str:
    """A program that gets something else than was handed over."""
    return PATCHED.format(python=sys.executable, change=change)


FAILURES = {
    "it ends": ("exit 3", "it ended as soon as it had started"),
    "it is killed": ("kill -9 $$", "it ended as soon as it had started"),
    "it does not know its command line": (
        f"exec {sys.executable} -m xenstore_sim --nonsense",
        "it ended as soon as it had started",
    ),
    "it may open too few descriptors": (FEW_DESCRIPTORS, "it ended before it had taken over"),
    "it may open hardly any": (f"ulimit -n 5; {OURS}", "it ended as soon as it had started"),
    "the state is cut": (
        patched("return state[:-9], descriptors"),
        "it ended before it had taken over",
    ),
    "the state is another one": (
        patched('return state.replace(b"/watched", b"/w/tched"), descriptors'),
        "it ended before it had taken over",
    ),
    "a descriptor is missing": (
        patched("return state, descriptors[1:]"),
        "it ended before it had taken over",
    ),
    "it crashes with the state in its hands": (
        patched("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"),
        "it ended before it had taken over",
    ),
}


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Makes a program that is fine when it is tried, and does this when it is to take over."""

    def program(text: str, tried: str = OURS) -> str:
        path = tmp_path / "program"
        path.write_text(f'#!/bin/sh\ncase "$*" in *{CHECK_OPTION}*) {tried};; esac\n{text}\n')
        path.chmod(0o700)
        return str(path)

    return program


async def fails(daemon: Replaceable, dom0: Client, program: str, reason: str) -> None:
    """The update does, and says so to everyone."""
    assert await dom0.control("live-update", "-f", program) == "OK"
    said = await dom0.control("live-update", "-s")
    daemon.moved()
    assert said == (
        f"{program} does not take over: {reason}; the daemon goes on as process {daemon.pid}"
    )
    # What the other program said comes before, or in between.
    while await daemon.line() != f"xenstore-sim: no live update: {said}":
        pass


async def test_the_daemon_goes_on_whatever_fails_and_however_often(
    tmp_path: Path, program: Program
) -> None:
    run, pid_file, state = tmp_path / "run", tmp_path / "pid", tmp_path / "state"
    async with (
        replaceable(run, "-F", str(pid_file), "--state", str(state)) as daemon,
        Client.connect(daemon.socket_path) as dom0,
        Client.connect(daemon.socket_path) as other,
    ):
        await dom0.introduce(DOM3, 1, 1)
        await dom0.write("/local/domain/3", "")
        await dom0.set_perms("/local/domain/3", NodePerms.of("n3"))
        torn = await trio.open_unix_socket(daemon.socket_path)
        request = encode_packet(Op.GET_DOMAIN_PATH, 7, 0, b"3\0")
        await torn.send_all(request[:9])
        async with (
            torn,
            Client.connect_ring(run / "ring" / "3") as dom3,
            dom3.watch("watched") as watch,
            other.begin() as transaction,
        ):
            await watch.get()
            await transaction.write("/late", "v")
            for number, (text, reason) in enumerate(FAILURES.values()):
                await fails(daemon, other, program(text), reason)
                assert pid_file.read_text() == f"{daemon.pid}\n"
                await dom3.write("watched", str(number))
                assert (await watch.get()).path == "watched"
                assert await dom0.read("/local/domain/3/watched") == str(number).encode()
                async with Client.connect(daemon.socket_path) as late:
                    assert not await late.exists("/late")
            await daemon.renew()
            assert daemon.pid == int(pid_file.read_text())
            await torn.send_all(request[9:])
            assert (await torn.receive_some()).endswith(b"/local/domain/3\0")
        assert await dom0.read("/late") == b"v"
    assert b"/late\0v" in state.read_bytes()
    assert not pid_file.exists()
    assert not any(path.is_socket() for path in run.rglob("*"))


FULL_DISK = f"""exec {sys.executable} -c '
import os, resource
with open(f"/proc/self/task/{{os.getpid()}}/children") as children:
    [copy] = children.read().split()
resource.prlimit(int(copy), resource.RLIMIT_FSIZE, (0, 0))'
"""
"""The daemon that goes on can write to no file."""


async def test_a_daemon_that_goes_on_needs_no_room_for_its_process_id(
    tmp_path: Path, program: Program
) -> None:
    run, pid_file = tmp_path / "run", tmp_path / "pid"
    async with (
        replaceable(run, "-F", str(pid_file)) as daemon,
        Client.connect(daemon.socket_path) as dom0,
    ):
        other = program(FULL_DISK)
        assert await dom0.control("live-update", "-f", other) == "OK"
        said = await dom0.control("live-update", "-s")
        before, _, pid = said.rpartition(" ")
        daemon.pid = int(pid)
        assert before == (
            f"{other} does not take over: it ended as soon as it had started;"
            " the lock cannot name it: File too large; the daemon goes on as process"
        )
        assert await daemon.line() == f"xenstore-sim: no live update: {said}"
        assert (await daemon.line()).startswith(f"xenstore-sim: the pid file {pid_file}: File too")
        await dom0.write("/a", "v")
        # Neither is cut short by what cannot be written.
        for path in (run / "lock", pid_file):
            assert path.read_text() == f"{daemon.process.pid}\n"


async def test_memory_that_runs_out_for_the_other_program_costs_nothing(
    tmp_path: Path, program: Program
) -> None:
    async with replaceable(tmp_path / "run") as daemon, Client.connect(daemon.socket_path) as dom0:
        room = _address_space_kib(daemon.pid) + 16 * 1024
        for number in range(10_000):
            await dom0.write(f"/many/{number}", "v" * 2000)
        too_small = program(f"ulimit -v {room}; {OURS}")
        await fails(daemon, dom0, too_small, "it ended before it had taken over")
        assert len(await dom0.directory("/many")) == 10_000
        # Not even enough to begin.
        await fails(
            daemon, dom0, program(f"ulimit -v 9000; {OURS}"), "it ended as soon as it had started"
        )
        assert await dom0.read("/many/9999") == b"v" * 2000


def _address_space_kib(pid: int) -> int:
    status = (Path("/proc") / str(pid) / "status").read_text()
    return int(status.partition("VmSize:")[2].split()[0])


async def test_a_program_that_cannot_be_executed_leaves_even_the_process(
    tmp_path: Path, program: Program
) -> None:
    """It was there when it was tried."""
    gone = program("", tried=f'rm "$0"; {OURS}')
    async with replaceable(tmp_path / "run") as daemon, Client.connect(daemon.socket_path) as dom0:
        assert await dom0.control("live-update", "-f", gone) == "OK"
        before = daemon.descriptors()
        said = await dom0.control("live-update", "-s")
        assert said == "Error activating new binary: No such file or directory"
        assert daemon.descriptors() == before
        assert int((tmp_path / "run" / "lock").read_text()) == daemon.process.pid
        await dom0.write("/a", "v")
        assert await daemon.line() == f"xenstore-sim: no live update: {said}"
        await daemon.renew()


async def test_a_program_that_never_begins_is_not_awaited_for_ever(
    autojump_clock: MockClock,
) -> None:
    here, there = socket.socketpair()
    with here, there, pytest.raises(HandingOverFailed, match="did not start within 60 s"):
        await _started(here)
