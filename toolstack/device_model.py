"""The device model's process as the toolstack sees it: started, listened to, reaped.

It gets exactly its xenstore connection, guest RAM and its log, and a cleared environment.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from handoff.confinement import Mode, spawn
from handoff.errors import ConfigError, printable
from toolstack.domain_connection import DomainConnection
from toolstack.early_start import MESSAGE_MAX_BYTES, WaitingProcess
from toolstack.host import GuestMemory
from toolstack.progress import Progress

LOG_LINES_MAX = 400
LOG_LINE_MAX = 1000
REAP_S = 5.0
STUBDOM_UID_BASE = 0x10000
"""Device models of one toolstack's stub domains run as different users, from here on."""
OFFER_TIMEOUT_S = 3600.0
"""It starts while the images are loaded, which may take long; it ends with us in any case."""

DEFAULT_PROGRAM = (sys.executable, "-I", "-m", "devicemodel")


@dataclass(frozen=True, slots=True)
class DeviceModelCommand:
    """How the device model is started."""

    sandbox: Mode
    uid: int
    """user it becomes when the toolstack is root"""
    arguments: tuple[str, ...]
    """what libxl's dm-argv holds: -xen-domid T and what follows"""
    program: Sequence[str] = DEFAULT_PROGRAM
    waiting: WaitingProcess | None = None
    """one that runs already and is told all this; None: `program` is started"""
    ioreqs: socket.socket | None = None
    """its end of the ioreq channel, if it serves devices; closed here once it was started. A
    waiting process is not given one"""


class _Child(Protocol):
    """A child process, as subprocess.Popen has it."""

    @property
    def pid(self) -> int: ...

    def wait(self) -> int: ...


class _SpawnedChild:
    """The same for a child of which we have only the number."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def wait(self) -> int:
        if self._status is None:
            _, status = os.waitpid(self.pid, 0)
            self._status = os.waitstatus_to_exitcode(status)
        return self._status


class DeviceModelProcess:
    """A started device model; use `device_model` to get one."""

    def __init__(self, process: _Child, pidfd: int) -> None:
        self._process = process
        self._pidfd = pidfd
        self._reaped = False
        self._inside: dict[int, int] = {}
        """pidfds of what it started, by their pids: the one who writes guest RAM, if that is
        confined in a pid namespace, whose waiter is all that we started"""
        self.log_ended = trio.Event()
        self.last_words = ""
        """its log's last line, printable and cut"""

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> str:
        """Waits for its end; says how it ended: `exit status 15, its last words: ...`."""
        await trio.lowlevel.wait_readable(self._pidfd)
        status = self._reap()
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        # The pipe ends with the process; what is still in it is worth reading.
        with trio.move_on_after(REAP_S):
            await self.log_ended.wait()
        return f"{how}, its last words: {self.last_words}" if self.last_words else how

    def _remember(self, pids: Iterable[int]) -> None:
        """Keeps these processes in sight, which it started."""
        for pid in pids:
            if pid not in self._inside:
                with suppress(ProcessLookupError):
                    self._inside[pid] = os.pidfd_open(pid)

    def heard(self, line: str) -> None:
        """Takes a line of its log."""
        self.last_words = line

    async def reap(self) -> None:
        """Kills it if it still runs and waits until it is gone, at most REAP_S seconds."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + REAP_S):
            if not self._reaped:
                self._remember(_children(self.pid))
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                await trio.lowlevel.wait_readable(self._pidfd)
                self._reap()
            # The next attempt must not meet it, and the waiter's end is not yet its end.
            for pidfd in self._inside.values():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                await trio.lowlevel.wait_readable(pidfd)

    def _reap(self) -> int:
        """The exit status of one that has ended."""
        if not self._reaped and not self._inside:
            # Somebody may have killed a waiter and not the one inside. Until it is reaped its
            # number is that of its session, and nobody else's.
            self._remember(_session(self.pid))
        self._reaped = True
        return self._process.wait()

    def close(self) -> None:
        """Lets go of the processes."""
        for pidfd in (self._pidfd, *self._inside.values()):
            os.close(pidfd)


def _children(pid: int) -> list[int]:
    """The processes that this one started and that still are."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _session(leader: int) -> list[int]:
    """The other processes in the session of this one, which has ended and is not reaped."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # Behind the name, which may hold anything: state, parent, group, session.
            _, _, _, session, *_ = stat.read_text("latin-1").rpartition(")")[2].split()
            if int(session) == leader:
                found.append(int(stat.parent.name))
    return [pid for pid in found if pid != leader]


@asynccontextmanager
async def device_model(
    command: DeviceModelCommand,
    connection: DomainConnection,
    memory: GuestMemory,
    progress: Progress,
) -> AsyncIterator[DeviceModelProcess]:
    """Runs a device model while the context lasts.

    connection: its own connection to xenstored; handed over and closed here.
    Raises: ConfigError if there is no such program.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        process = _start(command, connection, memory, write_end)
    except BaseException:
        os.close(read_end)
        connection.close()
        raise
    finally:
        os.close(write_end)
        connection.handed_over()
        if command.ioreqs is not None:
            command.ioreqs.close()
    running = DeviceModelProcess(process, os.pidfd_open(process.pid))
    try:
        async with trio.open_nursery() as nursery:
            pipe = trio.lowlevel.FdStream(read_end)
            nursery.start_soon(relay_log, pipe, progress, running)
            try:
                yield running
            finally:
                await running.reap()
                with trio.move_on_after(REAP_S, shield=True):
                    await running.log_ended.wait()
                nursery.cancel_scope.cancel()
    finally:
        running.close()
        connection.close()


def _start(
    command: DeviceModelCommand, connection: DomainConnection, memory: GuestMemory, log_fd: int
) -> _Child:
    """Raises: ConfigError if there is no such program."""
    words = [
        *memory.words,
        *("--parent", str(os.getpid())),
        *("--offer-timeout", str(OFFER_TIMEOUT_S)),
        *("--uid", str(command.uid)),
        *("--sandbox", command.sandbox.value),
        *command.arguments,
    ]
    ram_fds = () if memory.fd is None else (memory.fd,)
    fds = [*connection.descriptors, *ram_fds]
    if command.ioreqs is not None:
        fds.append(command.ioreqs.fileno())
        words += ["--ioreq-fd", str(command.ioreqs.fileno())]
    elif command.waiting is not None:
        told = _tell(command.waiting, words, log_fd, connection.descriptors, ram_fds)
        if told is not None:
            return told
    for ram_fd in ram_fds:
        words = ["--ram-fd", str(ram_fd), *words]
    xenstore = ",".join(map(str, connection.descriptors))
    argv = [*command.program, "--xenstore-fd", xenstore, *words]
    try:
        return spawn(
            argv,
            pass_fds=fds,
            stdout=subprocess.DEVNULL,
            stderr=log_fd,
        )
    except OSError as error:
        raise ConfigError(
            f"device model {argv[0]!r} cannot be started ({error.strerror}): "
            "name a program with --device-model"
        ) from error


def _tell(
    waiting: WaitingProcess,
    words: Sequence[str],
    log_fd: int,
    xenstore_fds: Sequence[int],
    ram_fds: Sequence[int],
) -> _Child | None:
    """Gives a waiting process its work; None if it does not take that at once: it has ended
    meanwhile, or hangs, or the work is too much to tell."""
    child = _SpawnedChild(waiting.pid)
    told = {"xenstore_fds": len(xenstore_fds), "arguments": list(words)}
    message = json.dumps(told).encode("ascii") + b"\n"
    fds = (log_fd, *xenstore_fds, *ram_fds)
    with waiting.channel:
        # A process that is stopped takes no more than fits, and would hold up all of us.
        waiting.channel.setblocking(False)
        sent = 0
        if len(message) <= MESSAGE_MAX_BYTES:
            with suppress(OSError):
                sent = socket.send_fds(waiting.channel, [message], fds)
    if sent < len(message):
        # Nothing is done with half a message.
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        return None
    return child


class _Logging(Protocol):
    """Whose log it is."""

    log_ended: trio.Event

    def heard(self, line: str) -> None: ...


async def relay_log(pipe: trio.abc.ReceiveStream, progress: Progress, process: _Logging) -> None:
    """Passes the log on line by line: printable, cut, and not more than LOG_LINES_MAX."""
    shown = 0
    rest = b""

    def relay(line: bytes) -> None:
        nonlocal shown
        # A terminal ends its lines with a carriage return, too.
        text = printable(line.rstrip(b"\r").decode("utf-8", "replace"), LOG_LINE_MAX)
        process.heard(text)
        shown += 1
        if shown <= LOG_LINES_MAX:
            progress.log("device model", text)
        elif shown == LOG_LINES_MAX + 1:
            progress.log("device model", "... (the rest of its log is not shown)")

    try:
        async with pipe:
            # A terminal whose other side is gone breaks.
            with suppress(trio.BrokenResourceError):
                while data := await pipe.receive_some(4096):
                    *lines, rest = (rest + bytes(data)).split(b"\n")
                    rest = rest[:LOG_LINE_MAX]
                    for line in lines:
                        relay(line)
            if rest:
                relay(rest)
    finally:
        # Also when cancelled: whoever waits for the last words gets no more of them.
        process.log_ended.set()
