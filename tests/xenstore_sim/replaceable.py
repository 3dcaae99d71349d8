"""`xenstore-sim` as a process that another program takes the place of, time and again."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE

import trio

COMMAND = (sys.executable, "-m", "xenstore_sim")
DEADLINE_S = 600
TOOK_OVER = "xenstore-sim: took over, with all connections"


class Replaceable:
    """A running daemon and what it says."""

    def __init__(self, process: trio.Process, rundir: Path) -> None:
        self.process = process
        self.pid = process.pid
        self.rundir = rundir
        self.socket_path = rundir / "socket"
        self._said = bytearray()

    async def line(self) -> str:
        """The next line of its standard error."""
        assert self.process.stderr is not None
        while b"\n" not in self._said:
            portion = await self.process.stderr.receive_some()
            assert portion, f"the daemon ended: {self._said.decode()}"
            self._said += portion
        line, _, rest = self._said.partition(b"\n")
        self._said = rest
        return line.decode()

    async def renew(self) -> None:
        """Return when the same program took its own place."""
        os.kill(self.pid, signal.SIGUSR2)
        assert await self.line() == TOOK_OVER

    def moved(self) -> None:
        """It is another process now, which the lock names."""
        self.pid = int((self.rundir / "lock").read_text())

    def descriptors(self) -> int:
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    async def stop(self) -> None:
        """Return when it has ended as it was told to."""
        with suppress(ProcessLookupError):
            watched = os.pidfd_open(self.pid)
            os.kill(self.pid, signal.SIGTERM)
            await trio.lowlevel.wait_readable(watched)
            os.close(watched)

    def kill(self) -> None:
        """End it, whatever it does."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


@asynccontextmanager
async def replaceable(
    rundir: Path,
    *options: str,
    deadline_s: float = DEADLINE_S,
    command: Sequence[str] = COMMAND,
) -> AsyncIterator[Replaceable]:
    """A daemon that serves; it must be there at the end, and end in order.

    deadline_s: of the whole block. command: what starts it.
    """
    process = await trio.lowlevel.open_process(
        [*command, "--rundir", str(rundir), *options], stderr=PIPE
    )
    daemon = Replaceable(process, rundir)
    try:
        with trio.fail_after(deadline_s):
            assert await daemon.line() == f"xenstore-sim: listening on {rundir}/socket"
            yield daemon
            await daemon.stop()
            if daemon.pid == process.pid:
                assert await process.wait() == 0
    finally:
        daemon.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
