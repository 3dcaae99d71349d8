"""Where domains live: the port that the simulation implements, and a real Xen.

Nothing above it knows which of them it works on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from handoff.addresses import GpaRange
from handoff.descriptor import Insert
from handoff.e820 import E820Map
from handoff.firmware import Firmware
from handoff.guest_ram import GuestRam
from handoff.keys import HandoffKeys
from toolstack.domain_connection import DomainConnection
from toolstack.machine.port import RunningMachine
from toolstack.store import Store
from xenstore_sim.wire.names import DomId


class GuestMemory(Protocol):
    """RAM of one guest, as dom0 has it."""

    @property
    def bytes(self) -> int: ...

    @property
    def e820(self) -> E820Map:
        """What firmware will tell the guest, before its own reservations."""

    @property
    def ranges(self) -> tuple[GpaRange, ...]:
        """Where there is RAM, ascending."""

    @property
    def ram(self) -> GuestRam: ...

    @property
    def fd(self) -> int | None:
        """The memory file that a device model of this host is given; None: it maps the domain."""

    @property
    def words(self) -> tuple[str, ...]:
        """The device model's arguments that tell where RAM is."""

    def populate(self, where: GpaRange) -> None:
        """Has the host set memory aside for `where`. Raises: ConfigError if it has none."""


class GuestMachine(Protocol):
    """What will run one guest."""

    @property
    def name(self) -> str:
        """As --machine takes it."""

    @property
    def insert(self) -> Insert:
        """The way the BIOS extension is inserted here."""

    def start(
        self, firmware: Firmware | None, rom: bytes | None
    ) -> AbstractAsyncContextManager[RunningMachine]:
        """Starts it paused. firmware: handed over, to be started in place of the machine's own.
        rom: as in the port Machine. Raises: MachineError."""

    def told(self, running: RunningMachine) -> str:
        """What people are told of the machine that was started."""


class GuestDomain(Protocol):
    """A guest's domain: it exists, and is paused."""

    @property
    def domid(self) -> DomId: ...

    @property
    def memory(self) -> GuestMemory: ...

    def machine(self, ioreq_fd: int | None) -> GuestMachine:
        """ioreq_fd: end of an ioreq channel to a device model that serves devices."""


@dataclass(frozen=True, slots=True)
class DeviceModelPlace:
    """What one device model runs as."""

    keys: HandoffKeys
    uid: int
    """user it becomes when the toolstack is root"""
    argv: tuple[str, ...]
    """its arguments, libxl's and ours"""
    connection: DomainConnection
    """its own connection to xenstored; closed by whoever runs it"""


class Host(Protocol):
    """Makes domains and takes them away again, whatever happens in between."""

    @property
    def store(self) -> Store: ...

    def guest(self) -> AbstractAsyncContextManager[GuestDomain]:
        """The guest's domain while the context lasts."""

    def device_model(
        self, guest: GuestDomain, arguments: Sequence[str], log: str
    ) -> AbstractAsyncContextManager[DeviceModelPlace]:
        """A place for one device model of `guest` while the context lasts.

        arguments: ours, beside those libxl writes. log: where its output goes, for people.
        """
