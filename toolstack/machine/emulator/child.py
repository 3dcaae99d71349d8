"""The emulator's process: confines itself, waits for unpause, runs the guest, says how it ended.

Its descriptors are guest RAM, the console pipe and the control channel. It ends when the
control channel does, so it never outlives its toolstack.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time

from handoff.confinement import ConfinementError, Mode, Profile, confine, prepare
from toolstack.machine.emulator.control import (
    UNPAUSE,
    End,
    Failed,
    Log,
    Message,
    Ready,
    Start,
    encode,
)
from toolstack.machine.emulator.emulator import Emulator
from toolstack.machine.emulator.ioreq_client import FW_CFG_PORTS, IoreqClient
from toolstack.machine.emulator.open_engine import NoAddressSpace, UnknownEngine
from toolstack.machine.emulator.stop import StopReason

_LOOK_EVERY_S = 0.25
_WITH_TIMER_SET = 1 / 20
"""A kernel unpacks itself before it sets its timer, and waits for it soon after."""
_LOG_LINES_MAX = 1000
"""Lines of BIOS text passed on; a guest that prints without end is then silent."""


class Channel:
    """The control channel, blocking."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines_left = _LOG_LINES_MAX

    def send(self, message: Message) -> None:
        """Sends all of `message`; does nothing when the toolstack is gone."""
        write_all(self._fd, encode(message))

    def log(self, text: str) -> None:
        """Sends a line, or drops it: when there were too many, or when nobody reads them. The
        guest must not stand still for its log, and its end must still fit into the socket."""
        if self._lines_left > 0 and self._has_room():
            self._lines_left -= 1
            self.send(Log(text))

    def _has_room(self) -> bool:
        return bool(select.select((), (self._fd,), (), 0)[1])

    def wait_for_unpause(self) -> bool:
        """True on unpause, False when the toolstack is gone."""
        received = b""
        while not received.endswith(UNPAUSE):
            chunk = os.read(self._fd, len(UNPAUSE))
            if not chunk:
                return False
            received = (received + chunk)[-len(UNPAUSE) :]
        return True

    def wait_for_end(self) -> None:
        """Returns when the toolstack closes its side."""
        while os.read(self._fd, 64):
            pass


def write_all(fd: int, content: bytes) -> None:
    """Writes all of `content`, or gives up when nobody reads any more."""
    view = memoryview(content)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BrokenPipeError:
            return


def run(start: Start) -> None:
    """Runs one guest to its end, which it reports on the control channel."""
    channel = Channel(start.control_fd)
    try:
        emulator = Emulator(
            start.ram_fd,
            start.regions,
            start.e820,
            console=lambda content: write_all(start.console_fd, content),
            log=channel.log,
            firmware=start.firmware,
        )
        keep = [start.ram_fd, start.console_fd, start.control_fd]
        if start.ioreq_fd is not None:
            ioreqs = socket.socket(fileno=start.ioreq_fd)
            emulator.ports.claim_strings(FW_CFG_PORTS, IoreqClient(ioreqs))
            keep.append(start.ioreq_fd)
        mode = Mode(start.sandbox)
        prepared = prepare(mode=mode, keep_fds=keep, parent_pid=start.parent_pid)
        report = confine(prepared, Profile.EMULATOR)
    except (OSError, ValueError, UnknownEngine, NoAddressSpace, ConfinementError) as error:
        # ValueError: the memory file is shorter than the regions say.
        channel.send(Failed(_why(error)))
        return
    channel.send(Ready(report.lines()))
    if not channel.wait_for_unpause():
        return
    threading.Thread(target=_end_with, args=(channel,), daemon=True).start()
    watch = (channel, emulator, start.quiet_cpu_s)
    threading.Thread(target=_end_when_quiet, args=watch, daemon=True).start()
    stop = emulator.run()
    channel.send(End(stop.reason, stop.detail))


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return f"{error.strerror} for the guest's RAM: lower memory=, or raise ulimit -v"
    return str(error)


def _end_with(channel: Channel) -> None:
    channel.wait_for_end()
    # The engine runs guest code on the main thread and cannot be asked to unwind.
    os._exit(0)


def _end_when_quiet(channel: Channel, emulator: Emulator, quiet_cpu_s: float) -> None:
    """Ends a guest that computes for so long without touching a device, or a part of that once it
    has set its timer.

    There are no interrupts here: a kernel that counts on its timer would spin for ever. CPU
    time, not the clock's, so that a machine that is stopped or starved is not blamed.
    """
    seen, since = emulator.ports.accesses, time.process_time()
    limit = quiet_cpu_s
    while (now := time.process_time()) - since < limit:
        time.sleep(_LOOK_EVERY_S)
        if emulator.ports.accesses != seen:
            seen, since = emulator.ports.accesses, now
        limit = quiet_cpu_s * _WITH_TIMER_SET if emulator.timer_is_set else quiet_cpu_s
    quiet = f"no device touched in {limit:g} s of computing"
    why = "waits for a timer interrupt?"
    if emulator.timer_is_set:
        why = "it has set its timer, and this machine has no timer interrupt"
    channel.send(End(StopReason.UNFIT, f"{quiet}: {why}"))
    os._exit(0)


def main(arguments: list[str]) -> int:
    """Exit status 2 when not started by EmulatorMachine, else 0."""
    try:
        start = Start.from_argument(*arguments)
    except (ValueError, KeyError, TypeError):
        os.write(2, b"toolstack.machine.emulator is started by `toolstack`, not by hand\n")
        return 2
    run(start)
    return 0
