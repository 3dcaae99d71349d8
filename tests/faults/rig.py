"""A bench for trials: a daemon, the directory in front of it, guests, what is right."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from tests.faults.guests import (
    Digests,
    Guest,
    placed_digests,
    write_guest,
    wrong_in_console,
    wrong_in_ram,
)
from tests.faults.intercept import Intercept
from tests.faults.processes import descendants, descriptors, holders
from tests.faults.run import PATIENT, Seen, run_toolstack
from tests.faults.strike import BEFORE_THE_MACHINE
from tests.faults.trial import Kind
from tests.faults.xenstored import Tree, Xenstored
from toolstack.machine.port import EndReason

_MACHINES = {Kind.EMULATED: "emulator", Kind.QEMU: "qemu"}
_GONE_S = 5.0
"""For the kernel to end what dies with its parent."""


@dataclass(slots=True)
class Rig:
    directory: Path
    nursery: trio.Nursery
    xenstored: Xenstored
    intercept: Intercept
    guests: Mapping[Kind, Guest]
    empty: Tree = field(default_factory=dict)
    """nodes that stay when nothing is left behind"""
    idle_descriptors: int = 0
    consoles: dict[Kind, bytes] = field(default_factory=dict)
    """what the guest says when nothing goes wrong"""
    boot_s: float = 1.0
    """what the last boot without a fault took"""
    qemus_life_s: float = 1.0
    """from where QEMU is started to its guest's end, when nothing goes wrong"""
    placed: dict[Kind, Digests] = field(default_factory=dict)
    """what lies in guest RAM when nothing goes wrong"""

    @property
    def runtime(self) -> Path:
        return self.directory / "run"

    @property
    def environment(self) -> dict[str, str]:
        return {"XDG_RUNTIME_DIR": str(self.runtime)}

    async def calibrate(self) -> None:
        """Boots each guest once without a fault. What that gives is compared with the files
        themselves, and every trial with it."""
        began = 0.0

        async def on_stage(stage: str) -> None:
            nonlocal began
            if stage == BEFORE_THE_MACHINE:
                began = trio.current_time()
            if stage == EndReason.POWERED_OFF.value and kind is Kind.QEMU:
                self.qemus_life_s = trio.current_time() - began

        await self.renew()
        for kind, guest in self.guests.items():
            seen = Seen()
            words = self.create(kind)
            await run_toolstack(words, self.environment, seen, on_stage, program=PATIENT)
            assert seen.status == 0, (seen.failures, seen.strange)
            if kind in _MACHINES:
                wrong = wrong_in_console(seen.console)
                self.consoles[kind] = seen.console
            else:
                assert seen.ram_fd is not None
                wrong = wrong_in_ram(guest, seen.ram_fd, seen.placed)
                self.placed[kind] = placed_digests(seen.ram_fd, seen.placed)
            seen.close()
            assert not wrong, wrong

    async def renew(self) -> None:
        """Another daemon in the same place; what an idle one looks like after a run."""
        await self.xenstored.stop()
        self.intercept.forget()
        await self.xenstored.start()
        seen = Seen()
        await self.boot(seen)
        seen.close()
        assert seen.status == 0, (seen.failures, seen.strange)
        self.empty = await self.xenstored.tree()
        # Of this daemon alone: the others of the bench come and go.
        self.idle_descriptors = await self._least_descriptors()

    async def boot(self, seen: Seen) -> None:
        """A boot without a fault, and how long it took."""
        began = trio.current_time()
        words = self.create(Kind.KERNEL)
        await run_toolstack(words, self.environment, seen, nothing, program=PATIENT)
        self.boot_s = trio.current_time() - began

    async def _least_descriptors(self) -> int:
        await self.closed_connections()
        await trio.sleep(0.05)
        return descriptors(self.xenstored.pid)

    async def closed_connections(self) -> None:
        """Returns when nobody is connected through the intercept, at most after some seconds."""
        with trio.move_on_after(_GONE_S):
            while self.intercept.connections:  # noqa: ASYNC110
                await trio.sleep(0.01)

    def create(self, kind: Kind) -> list[str]:
        """Arguments of a patient run through the intercept."""
        words = ["create", str(self.guests[kind].config), "--json"]
        words += ["--machine", machine(kind)]
        if kind not in _MACHINES:
            words += ["--timeout", "0.05"]
        return [*words, "--xenstore", str(self.intercept.directory)]

    async def lingering(self, spared: frozenset[int]) -> tuple[str, ...]:
        """Processes and memory files that are still there after all deaths were reported."""
        found: tuple[str, ...] = ()
        names = tuple(f"guest-ram-{guest.name}" for guest in self.guests.values())
        with trio.move_on_after(_GONE_S):
            while True:
                found = tuple(
                    f"process {process.pid} {process.state} {process.command[:80]!r}"
                    for process in descendants(os.getpid(), spared)
                )
                if not found:
                    break
                await trio.sleep(0.02)
        for name in names:
            found += holders(name)
        return found


def machine(kind: Kind) -> str:
    """What runs it, as --machine takes it."""
    return _MACHINES.get(kind, "none")


async def nothing(_stage: str) -> None:
    """Goes on."""


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """A bench of its own; everything of it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        directory = Path(name)
        for part in ("run", "store", "front"):
            (directory / part).mkdir(mode=0o700)
        xenstored = Xenstored(directory / "store", directory / "xenstored.log")
        intercept = Intercept(directory / "front", directory / "store")
        mark = directory.name.rpartition("-")[2]
        async with trio.open_nursery() as nursery:
            await nursery.start(intercept.serve)
            bench = Rig(
                directory,
                nursery,
                xenstored,
                intercept,
                {kind: write_guest(directory, f"{mark}-{kind.name}", kind) for kind in Kind},
            )
            try:
                yield bench
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _GONE_S):
                    await xenstored.stop()
                nursery.cancel_scope.cancel()
