"""Where domains live: the port that the simulation implements, and a real Xen.

Nothing above it knows which of them it works on.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from handoff.addresses import GpaRange
from handoff.confinement import Mode
from handoff.descriptor import Insert
from handoff.e820 import E820Map
from handoff.firmware import Firmware
from handoff.guest_ram import GuestRam
from handoff.keys import HandoffKeys
from toolstack.early_start import WaitingProcess
from toolstack.machine.port import RunningMachine
from toolstack.progress import Progress
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
class DeviceModelWish:
    """How the device model of one attempt is to run."""

    arguments: tuple[str, ...]
    """ours, beside those libxl writes"""
    sandbox: Mode
    program: Sequence[str]
    """where it is a process of dom0"""
    waiting: WaitingProcess | None = None
    """one that runs already"""
    ioreqs: socket.socket | None = None
    """its end of the ioreq channel, if it serves devices; it is the device model's from here on"""


class RunningDeviceModel(Protocol):
    """A device model that was started."""

    @property
    def last_words(self) -> str:
        """Of its log: the line that tells most of where it is, or was; empty if it wrote none."""

    async def wait(self) -> str:
        """Waits for its end; says how it ended: `exit status 15, its last words: ...`."""


class Host(Protocol):
    """Makes domains and takes them away again, whatever happens in between."""

    @property
    def store(self) -> Store: ...

    def guest(self) -> AbstractAsyncContextManager[GuestDomain]:
        """The guest's domain while the context lasts."""

    def device_model(
        self, guest: GuestDomain, wish: DeviceModelWish, progress: Progress
    ) -> AbstractAsyncContextManager[tuple[HandoffKeys, RunningDeviceModel]]:
        """A device model of `guest`, as which domain its nodes tell, while the context lasts;
        nothing of it is left afterwards.

        Raises: ConfigError if there is no such program, XenstoreUnavailable, HypervisorError.
        """
