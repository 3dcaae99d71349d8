"""The machine of a guest on Xen: its own domain, which is unpaused and watched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import trio

from handoff.descriptor import Insert
from handoff.errors import MachineError
from handoff.firmware import Firmware
from toolstack.machine.port import EndReason, MachineEnd, RunningMachine
from toolstack.xen.libxc import DomainInfo, Libxc, Shutdown
from toolstack.xen.terminal import serial_port, terminal
from xenstore_sim.client import Client
from xenstore_sim.wire.names import DomId

_ENDS = {
    Shutdown.POWEROFF: EndReason.POWERED_OFF,
    Shutdown.REBOOT: EndReason.RESET,
    Shutdown.SOFT_RESET: EndReason.RESET,
    Shutdown.CRASH: EndReason.CRASHED,
    Shutdown.WATCHDOG: EndReason.CRASHED,
}


@dataclass(frozen=True, slots=True)
class RunningDomain:
    """Implements the RunningMachine port."""

    domid: DomId
    client: Client
    libxc: Libxc
    console: trio.abc.ReceiveStream

    @property
    def pid(self) -> int:
        """None of ours: libxl's device model is not this machine."""
        return 0

    async def unpause(self) -> None:
        await trio.lowlevel.checkpoint()
        self.libxc.unpause(self.domid)

    async def wait(self) -> MachineEnd:
        return await domain_end(self.client, self.libxc, self.domid)


async def domain_end(client: Client, libxc: Libxc, domid: DomId) -> MachineEnd:
    """How the domain ends: xenstored tells that some domain did, Xen which, and why.

    Raises: HypervisorError, XenstoreError.
    """
    async with client.watch("@releaseDomain") as watch:
        while True:
            await watch.get()
            end = ended(domid, libxc.domain(domid))
            if end is not None:
                return end


def ended(domid: DomId, info: DomainInfo | None) -> MachineEnd | None:
    """How the guest ended; None while it runs."""
    if info is None or info.dying:
        return MachineEnd(EndReason.KILLED, f"domain {domid} was destroyed by something else")
    if info.shutdown is None:
        return None
    name = info.shutdown.name if isinstance(info.shutdown, Shutdown) else str(info.shutdown)
    reason = EndReason.CRASHED
    if isinstance(info.shutdown, Shutdown):
        reason = _ENDS.get(info.shutdown, EndReason.CRASHED)
    return MachineEnd(reason, f"domain {domid}, shutdown reason {name.lower()}")


@dataclass(frozen=True, slots=True)
class DomainMachine:
    """Implements the port GuestMachine."""

    domid: DomId
    client: Client
    libxc: Libxc
    name: str = "xen"
    insert: Insert = Insert.PCI_ROM

    def start(
        self, firmware: Firmware | None, rom: bytes | None
    ) -> AbstractAsyncContextManager[RunningMachine]:
        return self._start(firmware)

    @asynccontextmanager
    async def _start(self, firmware: Firmware | None) -> AsyncIterator[RunningMachine]:
        if firmware is not None:
            raise MachineError("a domain of Xen starts the firmware that libxl put there")
        async with terminal(self.client, serial_port(self.domid)) as console:
            yield RunningDomain(self.domid, self.client, self.libxc, console)

    def told(self, running: RunningMachine) -> str:
        return f"{self.name}, domain {self.domid}"
