"""The device model's process: what it is given, what is heard of it, and that it is reaped."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import cast

import pytest
import trio

import devicemodel.waiting
from handoff.addresses import MIB, Gpa
from handoff.confinement import Mode
from handoff.errors import ConfigError
from tests.toolstack.fakes import Recorder
from toolstack.device_model import (
    LOG_LINE_MAX,
    LOG_LINES_MAX,
    DeviceModelCommand,
    DeviceModelProcess,
    device_model,
)
from toolstack.domain_connection import SocketConnection
from toolstack.early_start import MESSAGE_MAX_BYTES, WaitingProcess
from toolstack.hypervisor import RamFile, guest_memory

LIMIT_S = 30.0


@contextmanager
def memory() -> Iterator[RamFile]:
    with guest_memory("test", 4 * MIB, Gpa(2 * MIB)) as ram:
        yield ram


@asynccontextmanager
async def running(
    program: str, progress: Recorder, *arguments: str
) -> AsyncIterator[tuple[DeviceModelProcess, socket.socket]]:
    """`program` as device model, and the other end of its xenstore connection."""
    ours, its = socket.socketpair()
    command = DeviceModelCommand(Mode.OFF, 4321, arguments, (sys.executable, "-I", "-c", program))
    with ours, its, memory() as ram, trio.fail_after(LIMIT_S):
        async with device_model(command, SocketConnection(its), ram, progress) as process:
            assert its.fileno() == -1
            yield process, ours


async def test_it_gets_its_connection_guest_ram_its_log_and_nothing_else(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(fd, True)
    try:
        program = (
            "import os, sys\n"
            "fds = [n for n in range(1024) if os.path.exists(f'/proc/self/fd/{n}')]\n"
            "say = lambda *words: print(*words, file=sys.stderr)\n"
            "say(dict(os.environ).keys() - {'LC_CTYPE'}, os.getcwd())\n"
            "say(*fds)\nsay(*sys.argv[1:])"
        )
        progress = Recorder()
        async with running(program, progress, "-xen-domid", "7") as (process, _):
            assert await process.wait() == f"exit status 0, its last words: {process.last_words}"
        environment, fds, arguments = (line for _, line in progress.lines)
        words = arguments.split()
        options = dict(zip(words[::2], words[1::2], strict=True))
        assert environment == "set() /"
        given = {"0", "1", "2", options["--xenstore-fd"], options["--ram-fd"]}
        assert set(fds.split()) == given
        assert str(fd) not in given
    finally:
        os.close(fd)
    assert options["--parent"] == str(os.getpid())
    assert (options["--uid"], options["--sandbox"]) == ("4321", "off")
    assert arguments.count("--ram-region") == 2
    assert "--ram-region 0x0:0x200000:0x0 --ram-region 0x100000000:0x200000:0x200000" in arguments
    assert arguments.endswith("-xen-domid 7")


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("", "exit status 0"),
        ("import sys; sys.exit(13)", "exit status 13"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("import os; os.write(2, b'half a line')", "exit status 0, its last words: half a line"),
        ("import os; os.write(2, b'one\\ntwo\\n')", "exit status 0, its last words: two"),
    ],
)
async def test_its_end_is_told_with_its_last_words(program: str, how: str) -> None:
    async with running(program, Recorder()) as (process, _):
        assert await process.wait() == how


async def test_log_lines_are_printable_and_cut() -> None:
    progress = Recorder()
    program = r"import os; os.write(2, b'\x1b[2J\x07red\xff\n' + b'x' * 9000 + b'\n' + b'end\n')"
    async with running(program, progress) as (process, _):
        await process.wait()
    evil, long, end = (line for _, line in progress.lines)
    assert evil == "?[2J?red?"
    assert len(long) == LOG_LINE_MAX
    assert set(long) <= {"x", "."}
    assert end == "end"


async def test_a_flood_of_log_is_cut_and_its_last_words_are_still_known() -> None:
    progress = Recorder()
    program = "import os; [os.write(2, b'%d\\n' % n * 100) for n in range(2000)]"
    async with running(program, progress) as (process, _):
        assert await process.wait() == "exit status 0, its last words: 1999"
    assert len(progress.lines) == LOG_LINES_MAX + 1
    assert progress.lines[-1] == ("device model", "... (the rest of its log is not shown)")


async def test_a_line_without_end_costs_no_memory() -> None:
    progress = Recorder()
    program = "import os; [os.write(2, b'y' * 4096) for n in range(2000)]"
    async with running(program, progress) as (process, _):
        await process.wait()
    assert [len(line) for _, line in progress.lines] == [LOG_LINE_MAX]


def alive(process: int) -> bool:
    return os.path.exists(f"/proc/{process}")


STUBBORN = (
    "import signal, sys, time\n"
    "for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\n"
    "print('here', file=sys.stderr, flush=True)\n"
    "time.sleep(600)"
)


async def test_leaving_kills_and_reaps_even_one_that_ignores_signals() -> None:
    heard = trio.Event()
    progress = Recorder()
    progress.log = lambda source, line: heard.set()  # type: ignore[method-assign]
    async with running(STUBBORN, progress) as (process, ours):
        await heard.wait()
    assert not alive(process.pid)
    assert ours.fileno() == -1


async def test_cancelling_reaps_it_and_nobody_waits_for_more_of_its_log() -> None:
    with trio.CancelScope() as scope:
        async with running(STUBBORN, Recorder()) as (process, _):
            scope.cancel()
    assert scope.cancelled_caught
    assert not alive(process.pid)
    assert process.log_ended.is_set()


def at_work(process: int) -> bool:
    """Whether it runs; one that ended may wait to be reaped by who inherited it."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


PARENT_OF_A_SILENT_CHILD = """
import os, sys, time
child = os.fork()
if child:
    print(child, file=sys.stderr, flush=True)
os.close(1)
os.close(2)
time.sleep(600)
"""


async def test_what_it_started_is_gone_with_it_though_its_log_ended_before() -> None:
    async with running(PARENT_OF_A_SILENT_CHILD, Recorder()) as (process, _):
        await process.log_ended.wait()
    assert not at_work(int(process.last_words))


SILENT_INSIDE = """
import os, sys, time
from handoff.confinement import Mode, Profile, confine, prepare
os.write(2, b'not yet confined\\n')
confine(prepare(mode=Mode.AUTO, keep_fds=(2,)), Profile.DEVICE_MODEL)
memory = bytearray(256 << 20)
os.write(2, b'confined\\n')
os.close(2)
time.sleep(600)
"""


def only_child(process: int) -> int:
    (child,) = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return int(child)


async def test_when_its_waiter_alone_is_killed_the_one_inside_is_waited_for() -> None:
    async with running(SILENT_INSIDE, Recorder()) as (process, _):
        await process.log_ended.wait()
        inside = only_child(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        assert await process.wait() == "killed by SIGKILL, its last words: confined"
    assert not at_work(inside)


WORDLESS_INSIDE = """
import os, sys, time
from handoff.confinement import Mode, Profile, confine, prepare
confine(prepare(mode=Mode.AUTO, keep_fds=(2,)), Profile.DEVICE_MODEL)
memory = bytearray(256 << 20)
os.close(2)
time.sleep(600)
"""


async def test_when_its_waiter_is_killed_before_a_word_the_one_inside_is_waited_for() -> None:
    async with running(WORDLESS_INSIDE, Recorder()) as (process, _):
        await process.log_ended.wait()
        inside = only_child(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        assert await process.wait() == "killed by SIGKILL"
    assert not at_work(inside)


async def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    plain = tmp_path / "not-executable"
    plain.write_text("#!/bin/sh\n")
    ours, its = socket.socketpair()
    count = len(os.listdir("/proc/self/fd"))
    with ours, its, memory() as ram:
        command = DeviceModelCommand(Mode.OFF, 1, (), (str(plain),))
        with pytest.raises(ConfigError, match=r"not-executable' cannot be started \(Permission"):
            async with device_model(command, SocketConnection(its), ram, Recorder()):
                pass
        assert its.fileno() == -1
    assert len(os.listdir("/proc/self/fd")) == count - 2


async def test_its_connection_is_closed_with_it() -> None:
    async with running("", Recorder()) as (process, ours):
        await process.wait()
        assert ours.recv(1) == b""


class HastyChannel:
    """A channel whose peer has read the whole message and closed before we go on."""

    def __init__(self, channel: socket.socket, peer: socket.socket) -> None:
        self._channel, self._peer = channel, peer

    def __enter__(self) -> HastyChannel:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def sendmsg(self, *arguments: object) -> int:
        sent: int = self._channel.sendmsg(*arguments)  # type: ignore[arg-type]
        self._peer.close()
        return sent

    def setblocking(self, flag: bool) -> None:
        self._channel.setblocking(flag)


def _spawned(program: str) -> int:
    return os.posix_spawn(sys.executable, [sys.executable, "-c", program], {})


async def test_a_waiting_process_that_is_quick_is_told_once_and_not_replaced() -> None:
    ours, its = socket.socketpair()
    channel, peer = socket.socketpair()
    pid = _spawned("import sys; sys.exit(9)")
    waiting = WaitingProcess(pid, cast(socket.socket, HastyChannel(channel, peer)))
    replacement = (sys.executable, "-I", "-c", "raise AssertionError('a second one was started')")
    command = DeviceModelCommand(Mode.OFF, 1, (), replacement, waiting)
    with ours, its, memory() as ram, trio.fail_after(LIMIT_S):
        async with device_model(command, SocketConnection(its), ram, Recorder()) as process:
            assert process.pid == pid
            assert await process.wait() == "exit status 9"


async def test_a_waiting_process_that_is_gone_is_replaced() -> None:
    ours, its = socket.socketpair()
    channel, peer = socket.socketpair()
    peer.close()
    pid = _spawned("")
    replacement = (sys.executable, "-I", "-c", "import sys; sys.exit(5)")
    command = DeviceModelCommand(Mode.OFF, 1, (), replacement, WaitingProcess(pid, channel))
    with ours, its, memory() as ram, trio.fail_after(LIMIT_S):
        async with device_model(command, SocketConnection(its), ram, Recorder()) as process:
            assert process.pid != pid
            assert await process.wait() == "exit status 5"


SAYS_HOW_MUCH_IT_WAS_TOLD = "import sys; sys.stderr.write(str(len(sys.argv[-1])))"


async def _replaced(channel: socket.socket, peer: socket.socket, argument: str) -> None:
    """Returns if a process that waits at this channel is not told that, and another is."""
    ours, its = socket.socketpair()
    with peer:
        peer.set_inheritable(True)
        pid = _spawned("import time; time.sleep(600)")
    program = (sys.executable, "-I", "-c", SAYS_HOW_MUCH_IT_WAS_TOLD)
    waiting = WaitingProcess(pid, channel)
    command = DeviceModelCommand(Mode.OFF, 1, (argument,), program, waiting)
    with ours, its, memory() as ram, trio.fail_after(LIMIT_S):
        async with device_model(command, SocketConnection(its), ram, Recorder()) as process:
            assert (await process.wait()).endswith(f"its last words: {len(argument)}")
    assert not alive(pid)


async def test_a_waiting_process_that_does_not_read_a_long_message_is_replaced() -> None:
    channel, peer = socket.socketpair()
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    await _replaced(channel, peer, "x" * (100 << 10))


async def test_a_waiting_process_is_not_told_more_than_it_reads() -> None:
    channel, peer = socket.socketpair()
    hasty = cast(socket.socket, HastyChannel(channel, peer))
    await _replaced(hasty, peer, "\u00e9" * (MESSAGE_MAX_BYTES // 6))


def test_what_a_waiting_process_is_told_at_most_is_what_it_reads() -> None:
    assert MESSAGE_MAX_BYTES == devicemodel.waiting.MESSAGE_MAX_BYTES
