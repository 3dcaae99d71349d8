"""The simulated host: domains of xenstore alone, guest RAM in a memory file, a machine over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from handoff.descriptor import Insert
from handoff.firmware import Firmware
from handoff.keys import HandoffKeys
from toolstack.config.guest import GuestConfig
from toolstack.device_model import STUBDOM_UID_BASE, DeviceModelCommand, device_model
from toolstack.disks import machine_disks
from toolstack.domain_connection import StoreTransport
from toolstack.domain_tree import NewDomain
from toolstack.domains import Domains
from toolstack.host import DeviceModelWish, GuestDomain, RunningDeviceModel
from toolstack.hypervisor import RamFile, guest_memory
from toolstack.machine.port import Hardware, Machine, RunningMachine
from toolstack.progress import Progress
from toolstack.store import Store
from toolstack.xenstored import open_store
from xenstore_sim.wire.names import DomId


@dataclass(frozen=True, slots=True)
class MachineOverFile:
    """Implements the port GuestMachine with a machine that maps the memory file."""

    machine: Machine
    hardware: Hardware

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def insert(self) -> Insert:
        return self.machine.insert

    def start(
        self, firmware: Firmware | None, rom: bytes | None
    ) -> AbstractAsyncContextManager[RunningMachine]:
        return self.machine.start(replace(self.hardware, firmware=firmware), rom)

    def told(self, running: RunningMachine) -> str:
        told = f"{self.name}, process {running.pid}"
        if self.name != "none":
            return told
        # Whoever brings a machine of their own has to find guest RAM.
        return f"{told}, guest RAM is /proc/{running.pid}/fd/{self.hardware.ram_fd}"


@dataclass(frozen=True, slots=True)
class SimulatedGuest:
    """Implements the port GuestDomain."""

    domain: NewDomain
    memory: RamFile
    config: GuestConfig
    kind: Machine

    @property
    def domid(self) -> DomId:
        return self.domain.domid

    def machine(self, ioreq_fd: int | None) -> MachineOverFile:
        hardware = Hardware(
            name=self.config.name,
            ram_fd=self.memory.fd,
            regions=self.memory.regions,
            memory_bytes=self.memory.bytes,
            e820=self.memory.e820,
            disks=machine_disks(self.config),
            ioreq_fd=ioreq_fd,
        )
        return MachineOverFile(self.kind, hardware)


@dataclass(frozen=True, slots=True)
class SimulatedHost:
    """Implements the port Host."""

    domains: Domains
    machine: Machine
    transport: StoreTransport

    @property
    def store(self) -> Store:
        return self.domains.store

    @asynccontextmanager
    async def guest(self) -> AsyncIterator[GuestDomain]:
        config = self.domains.config
        low_limit = self.machine.low_ram_limit(config.memory_bytes)
        with guest_memory(config.name, config.memory_bytes, low_limit) as memory:
            async with self.domains.guest() as domain:
                yield SimulatedGuest(domain, memory, config, self.machine)

    @asynccontextmanager
    async def device_model(
        self, guest: GuestDomain, wish: DeviceModelWish, progress: Progress
    ) -> AsyncIterator[tuple[HandoffKeys, RunningDeviceModel]]:
        assert isinstance(guest, SimulatedGuest), "it came from this host"
        log = f"device-model-{guest.domid}.log"
        async with self.domains.stubdom(guest.domain, wish.arguments, log) as (stubdom, argv):
            connection = await self.store.connect_as(stubdom.domid, self.transport)
            command = DeviceModelCommand(
                wish.sandbox,
                STUBDOM_UID_BASE + stubdom.domid,
                argv,
                wish.program,
                wish.waiting,
                wish.ioreqs,
            )
            async with device_model(command, connection, guest.memory, progress) as process:
                yield HandoffKeys(stubdom.domid, guest.domid), process


@asynccontextmanager
async def simulated_host(
    config: GuestConfig, machine: Machine, xenstore: Path | None, transport: StoreTransport
) -> AsyncIterator[SimulatedHost]:
    """A host of `xenstore`, the run directory of a xenstored; None: one of our own.

    Raises: XenstoreUnavailable, RunDirectoryBusy.
    """
    async with open_store(xenstore) as store:
        yield SimulatedHost(await Domains.over(store, config), machine, transport)
