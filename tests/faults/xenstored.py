"""xenstore-sim as a process of its own, that can be killed, stopped and started again."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from tests.faults.processes import descriptors, send
from xenstore_sim.client import Client
from xenstore_sim.wire.errors import XenstoreError

_START_S = 30.0
_LOOK_S = 20.0
Tree = dict[str, bytes]


@dataclass(slots=True)
class Xenstored:
    rundir: Path
    log: Path
    faults: str = ""
    process: trio.Process | None = None

    async def start(self) -> None:
        """Serves when this returns."""
        ready, told = os.pipe()
        os.set_inheritable(told, True)
        argv = [sys.executable, "-m", "xenstore_sim", "--rundir", str(self.rundir)]
        argv += ["--ready-fd", str(told)]
        if self.faults:
            argv += ["--faults", self.faults]
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        try:
            self.process = await trio.lowlevel.open_process(
                argv, stdin=None, stdout=log, stderr=log, pass_fds=[told]
            )
        finally:
            os.close(told)
            os.close(log)
        with trio.fail_after(_START_S):
            async with trio.lowlevel.FdStream(ready) as pipe:
                if not await pipe.receive_some(64):
                    raise AssertionError(f"xenstore-sim did not start: {self.log.read_text()}")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def stop(self) -> None:
        """Ends and reaps it, also when it is stopped."""
        if self.process is not None:
            send(self.pid, signal.SIGKILL)
            await self.process.wait()
            self.process = None

    async def tree(self) -> Tree:
        """Every node but the root. A daemon that refuses on purpose is asked again."""
        with trio.fail_after(_LOOK_S):
            while True:
                with suppress(XenstoreError, OSError):
                    async with Client.connect(self.rundir / "socket") as client:
                        found: Tree = {}
                        await _collect(client, "/", found)
                        return found
                await trio.sleep(0.01)

    async def settled_descriptors(self, expected: int) -> int:
        """Its open descriptors, once connections that were just closed are gone."""
        with trio.move_on_after(3):
            while descriptors(self.pid) > expected:  # noqa: ASYNC110  (it tells nobody)
                await trio.sleep(0.02)
        return descriptors(self.pid)


async def _collect(client: Client, path: str, found: Tree) -> None:
    for name in await client.directory(path):
        child = f"/{name}" if path == "/" else f"{path}/{name}"
        found[child] = await client.read(child)
        await _collect(client, child, found)
