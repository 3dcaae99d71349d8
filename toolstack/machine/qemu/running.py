"""A started QEMU: its console, its monitor, its end."""

from __future__ import annotations

import os
import subprocess

import trio

from handoff.errors import MachineError
from toolstack.machine.port import EndReason, MachineEnd
from toolstack.machine.qemu.ending import exit_end, exit_text, shutdown_end
from toolstack.machine.qemu.last_words import last_line
from toolstack.machine.qemu.qmp.protocol import QmpViolation
from toolstack.machine.qemu.qmp.session import QmpClosed, QmpRefused, QmpSession

COMMAND_TIMEOUT_S = 10.0
EXIT_TIMEOUT_S = 5.0
"""From the end of the monitor, or a SIGKILL, to the end of the process."""
FLUSH_TIMEOUT_S = 2.0
"""For QEMU to finish its disks after a SIGTERM."""


class RunningQemu:
    """Implements the RunningMachine port; made by QemuMachine.start."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        console: trio.lowlevel.FdStream,
        qmp: trio.SocketStream,
        stderr: int,
    ) -> None:
        """Takes over all four; `destroy` ends and closes them.

        stderr: the memory file QEMU's standard error goes to.
        """
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        self._console = console
        self._qmp = qmp
        self._session = QmpSession(qmp)
        self._stderr = stderr

    @property
    def console(self) -> trio.abc.ReceiveStream:
        """The guest's first serial port. Somebody must read it: behind 64 KiB the guest waits."""
        return self._console

    @property
    def pid(self) -> int:
        return self._process.pid

    async def handshake(self, timeout_s: float) -> None:
        """Waits until QEMU takes commands, and its guest is built and paused.

        Raises: MachineError with QEMU's last words.
        """
        try:
            with trio.fail_after(timeout_s):
                await self._session.negotiate()
        except QmpClosed as error:
            status = await self._exit_status()
            if status is None:
                raise MachineError("QEMU closed its monitor before it started") from error
            text = exit_text(status, last_line(self._stderr))
            raise MachineError(f"QEMU did not start: {text}") from error
        except (QmpRefused, QmpViolation) as error:
            raise MachineError(f"QEMU's monitor cannot be used: {error}") from error
        except trio.TooSlowError as error:
            raise MachineError(f"QEMU was not ready after {timeout_s:g} s") from error

    async def unpause(self) -> None:
        try:
            with trio.fail_after(COMMAND_TIMEOUT_S):
                await self._session.execute("cont")
        except QmpClosed as error:
            status = await self._exit_status()
            how = error if status is None else exit_text(status, last_line(self._stderr))
            raise MachineError(f"the guest cannot be unpaused: {how}") from error
        except (QmpRefused, QmpViolation) as error:
            raise MachineError(f"the guest cannot be unpaused: {error}") from error
        except trio.TooSlowError as error:
            raise MachineError(f"QEMU did not unpause in {COMMAND_TIMEOUT_S:g} s") from error

    async def wait(self) -> MachineEnd:
        end: MachineEnd | None = None
        try:
            while True:
                end = shutdown_end(await self._session.next_event()) or end
        except QmpClosed:
            status = await self._exit_status()
        except QmpViolation as error:
            return MachineEnd(EndReason.CRASHED, f"QEMU's monitor cannot be used: {error}")
        if end is not None:
            return end
        if status is None:
            return MachineEnd(EndReason.CRASHED, "QEMU closed its monitor and did not exit")
        return exit_end(status, last_line(self._stderr))

    async def destroy(self, *, flush_disks: bool) -> None:
        """Ends the process if it still runs, reaps it, and closes all of ours.

        flush_disks: lets QEMU close its disks first, for a moment.
        """
        with trio.CancelScope(shield=True):
            if flush_disks:
                self._process.terminate()
                await self._exit_status(FLUSH_TIMEOUT_S)
            self._process.kill()
            await self._exit_status()
        self._console.close()
        self._qmp.socket.close()
        os.close(self._pidfd)
        os.close(self._stderr)

    async def _exit_status(self, timeout_s: float = EXIT_TIMEOUT_S) -> int | None:
        """The reaped process's exit status, None if it still runs after `timeout_s`."""
        with trio.move_on_after(timeout_s):
            await trio.lowlevel.wait_readable(self._pidfd)
        return self._process.poll()
