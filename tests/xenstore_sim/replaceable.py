"""`xenstore-sim` as a process that another program takes the place of, time and again."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
        self.process.send_signal(signal.SIGUSR2)
        assert await self.line() == TOOK_OVER

    def descriptors(self) -> int:
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@asynccontextmanager
async def replaceable(
    rundir: Path, *options: str, deadline_s: float = DEADLINE_S
) -> AsyncIterator[Replaceable]:
    """A daemon that serves; the same process must be there at the end, and end in order.

    deadline_s: of the whole block.
    """
    process = await trio.lowlevel.open_process(
        [*COMMAND, "--rundir", str(rundir), *options], stderr=PIPE
    )
    daemon = Replaceable(process, rundir)
    try:
        with trio.fail_after(deadline_s):
            assert await daemon.line() == f"xenstore-sim: listening on {rundir}/socket"
            yield daemon
            process.terminate()
            assert await process.wait() == 0
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
