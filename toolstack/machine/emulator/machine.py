"""The emulator as a machine of the toolstack: a process started paused, watched, reaped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from types import MappingProxyType

import trio

from handoff.addresses import Gpa
from handoff.confinement import Mode, spawn
from handoff.descriptor import Insert
from handoff.errors import MachineError, printable
from handoff.platforms import Platform, low_ram_limit
from toolstack.machine.emulator.control import (
    LINE_MAX_BYTES,
    TEXT_MAX,
    UNPAUSE,
    BadMessage,
    End,
    Failed,
    Log,
    Message,
    Ready,
    Start,
    decode,
)
from toolstack.machine.emulator.stop import StopReason
from toolstack.machine.port import EndReason, Hardware, MachineEnd, RunningMachine

_START_SECONDS = 30.0
_REAP_SECONDS = 5.0
_END_REASONS = MappingProxyType(
    {
        StopReason.POWERED_OFF: EndReason.POWERED_OFF,
        StopReason.HALTED: EndReason.HALTED,
        StopReason.RESET: EndReason.RESET,
        StopReason.CRASHED: EndReason.CRASHED,
        StopReason.UNFIT: EndReason.UNFIT,
        StopReason.ABANDONED: EndReason.ABANDONED,
    }
)

QUIET_CPU_S = 60.0
"""A Debian kernel unpacks itself in about three; one that waits for its timer never ends."""

LogLine = Callable[[str], None]


def _no_log(_line: str) -> None:
    """Where lines go that nobody asked for."""


class EmulatorMachine:
    """Implements Machine. Start it from the main thread: the process dies with that thread."""

    def __init__(
        self,
        *,
        sandbox: Mode = Mode.AUTO,
        quiet_cpu_s: float = QUIET_CPU_S,
        log: LogLine = _no_log,
    ) -> None:
        """quiet_cpu_s: CPU seconds without an access to a device after which the guest is
        UNFIT. log: takes a line at a time, `bios: ...` and `sandbox: ...`, while the guest is
        awaited."""
        self._sandbox = sandbox
        self._quiet_cpu_s = quiet_cpu_s
        self._log = log

    @property
    def name(self) -> str:
        return "emulator"

    @property
    def insert(self) -> Insert:
        return Insert.WINDOW

    def low_ram_limit(self, memory_bytes: int) -> Gpa:
        return low_ram_limit(Platform.XEN_HVM, memory_bytes)

    def start(
        self, hardware: Hardware, rom: bytes | None
    ) -> AbstractAsyncContextManager[RunningMachine]:
        assert rom is None, "BIOS extension and firmware lie in guest RAM already"
        return self._running(hardware)

    @asynccontextmanager
    async def _running(self, hardware: Hardware) -> AsyncIterator[RunningMachine]:
        process, control, console = _start_process(hardware, self._sandbox, self._quiet_cpu_s)
        running = _RunningEmulator(process, control, console, self._log)
        try:
            await running.wait_until_ready()
            if hardware.disks:
                names = ", ".join(disk.device for disk in hardware.disks)
                self._log(f"emulator: has no disks, the guest will not find {names}")
            yield running
        finally:
            await running.destroy()


class _RunningEmulator:
    """Implements RunningMachine."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        control: trio.SocketStream,
        console: trio.lowlevel.FdStream,
        log: LogLine,
    ) -> None:
        self._process = process
        self._control = control
        self._console = console
        self._log = log
        self._received = bytearray()

    @property
    def console(self) -> trio.abc.ReceiveStream:
        return self._console

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait_until_ready(self) -> None:
        """Raises: MachineError if the process ends, or takes too long to start."""
        with trio.move_on_after(_START_SECONDS):
            message = await self._receive()
            if isinstance(message, Ready):
                for line in message.sandbox:
                    self._log(f"sandbox: {printable(line, TEXT_MAX)}")
                return
            if isinstance(message, Failed):
                text = printable(message.text, TEXT_MAX)
                raise MachineError(f"the emulator's process {self.pid} cannot run: {text}")
            raise MachineError(
                f"the emulator's process {self.pid} {await self._how_it_ended()} before it was "
                "ready: check that the `unicorn` package is installed and works"
            )
        raise MachineError(
            f"the emulator's process {self.pid} was not ready after {_START_SECONDS:g} s"
        )

    async def unpause(self) -> None:
        try:
            await self._control.send_all(UNPAUSE)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise MachineError(f"the emulator's process {self.pid} is gone") from error

    async def wait(self) -> MachineEnd:
        while True:
            match await self._receive():
                case Log(text):
                    self._log(f"bios: {printable(text, TEXT_MAX)}")
                case End(reason, detail) if reason in _END_REASONS:
                    return MachineEnd(_END_REASONS[reason], printable(detail, TEXT_MAX))
                case None:
                    how = await self._how_it_ended()
                    return MachineEnd(EndReason.KILLED, f"emulator process {self.pid} {how}")
                case _:
                    detail = f"emulator process {self.pid} broke its protocol"
                    return MachineEnd(EndReason.KILLED, detail)

    async def _receive(self) -> Message | None:
        """The next message; None at the end, Failed for a line that is no message."""
        while b"\n" not in self._received:
            try:
                chunk = await self._control.receive_some(LINE_MAX_BYTES)
            except trio.BrokenResourceError:
                return None
            if not chunk:
                return None
            self._received += chunk
            if b"\n" not in self._received and len(self._received) > LINE_MAX_BYTES:
                return Failed(f"a line is longer than {LINE_MAX_BYTES} bytes")
        line, _, rest = self._received.partition(b"\n")
        self._received = rest
        try:
            return decode(bytes(line))
        except BadMessage as bad:
            return Failed(str(bad))

    async def _how_it_ended(self) -> str:
        """Waits for the end of a process that has closed its control channel."""
        with trio.move_on_after(_REAP_SECONDS):
            await self._reap()
        status = self._process.returncode
        if status is None:
            return "closed its control channel"
        if status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    async def _reap(self) -> None:
        if self._process.poll() is None:
            pidfd = os.pidfd_open(self._process.pid)
            try:
                await trio.lowlevel.wait_readable(pidfd)
            finally:
                trio.lowlevel.notify_closing(pidfd)
                os.close(pidfd)
            self._process.poll()

    async def destroy(self) -> None:
        """Kills and reaps the process and closes both channels."""
        with trio.CancelScope(shield=True):
            self._process.kill()
            with trio.move_on_after(_REAP_SECONDS):
                await self._reap()
            await trio.aclose_forcefully(self._control)
            await trio.aclose_forcefully(self._console)


def _start_process(
    hardware: Hardware, sandbox: Mode, quiet_cpu_s: float
) -> tuple[subprocess.Popen[bytes], trio.SocketStream, trio.lowlevel.FdStream]:
    """The process, its control channel and its console. Raises: MachineError."""
    with ExitStack() as theirs, ExitStack() as on_error:
        ours, control = socket.socketpair()
        theirs.callback(control.close)
        on_error.callback(ours.close)
        console_end, console = os.pipe()
        theirs.callback(os.close, console)
        on_error.callback(os.close, console_end)
        start = Start(
            ram_fd=hardware.ram_fd,
            console_fd=console,
            control_fd=control.fileno(),
            ioreq_fd=hardware.ioreq_fd,
            parent_pid=os.getpid(),
            sandbox=sandbox.value,
            regions=hardware.regions,
            e820=hardware.e820,
            quiet_cpu_s=quiet_cpu_s,
            firmware=hardware.firmware,
        )
        argv = [sys.executable, "-m", "toolstack.machine.emulator", start.to_argument()]
        fds = [start.ram_fd, start.console_fd, start.control_fd]
        if start.ioreq_fd is not None:
            fds.append(start.ioreq_fd)
        try:
            process = spawn(
                argv, pass_fds=fds, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise MachineError(f"cannot start the emulator's process: {error}") from error
        on_error.pop_all()
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        return process, stream, trio.lowlevel.FdStream(console_end)
