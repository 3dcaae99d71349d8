"""The machine that runs the guest after "go": what every one of them offers.

A machine is a process of its own. It is started paused over guest RAM that it shares with
the device model, and its guest's first instruction is the one at the reset vector, unless
firmware was handed over that is entered otherwise.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

import trio

from handoff.addresses import Gpa
from handoff.descriptor import Insert
from handoff.e820 import E820Map
from handoff.firmware import Firmware
from handoff.guest_ram import RamRegion


@dataclass(frozen=True, slots=True)
class Disk:
    path: Path
    format: str
    """`raw` or `qcow2`"""
    device: str
    """virtual device name: `hda`, `xvda`, ..."""
    read_only: bool
    cdrom: bool = False
    boot_index: int | None = None
    """in which place firmware tries it where it boots; None: not at all"""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the guest's machine is made of."""

    name: str
    ram_fd: int
    """memory file, sealed; stays open while the machine runs"""
    regions: tuple[RamRegion, ...]
    memory_bytes: int
    e820: E820Map
    """what firmware should tell the guest, before its own reservations"""
    disks: tuple[Disk, ...] = ()
    ioreq_fd: int | None = None
    """ioreq channel (handoff/ioreq.py) to a device model that serves devices; None: it has none"""
    firmware: Firmware | None = None
    """handed over, to be started in place of the machine's own; it lies in guest RAM"""


class EndReason(Enum):
    POWERED_OFF = "powered off"
    HALTED = "halted with interrupts off"
    RESET = "reset"
    CRASHED = "crashed"
    UNFIT = "needs a device this machine does not have"
    ABANDONED = "got no answer from its device model"
    KILLED = "killed"
    LEFT = "left"
    """nobody ran it: it was prepared for a machine of the operator's own"""


@dataclass(frozen=True, slots=True)
class MachineEnd:
    reason: EndReason
    detail: str
    """one line for a person: the registers, the port, the process's last words"""


class RunningMachine(Protocol):
    """One started machine; leaving the context it came from destroys it."""

    @property
    def console(self) -> trio.abc.ReceiveStream:
        """The guest's first serial port, byte by byte; ends when the machine does."""

    @property
    def pid(self) -> int:
        """Process id of the machine, for messages."""

    async def unpause(self) -> None:
        """Lets the first instruction run. Raises: MachineError."""

    async def wait(self) -> MachineEnd:
        """Waits until the machine ends by itself; may be called once."""


@dataclass(frozen=True, slots=True)
class OnXen:
    """No machine of ours: the guest is a domain of this very host (toolstack/xen)."""

    name: str = "xen"
    insert: Insert = Insert.PCI_ROM


class Machine(Protocol):
    """A kind of machine that can be started."""

    @property
    def name(self) -> str:
        """`emulator`, `qemu`, ..., as --machine takes it."""

    @property
    def insert(self) -> Insert:
        """The way the BIOS extension is inserted here."""

    def low_ram_limit(self, memory_bytes: int) -> Gpa:
        """Where this machine ends low RAM in a guest of `memory_bytes`: its MMIO hole."""

    def start(
        self, hardware: Hardware, rom: bytes | None
    ) -> AbstractAsyncContextManager[RunningMachine]:
        """Starts it paused. `rom` is a snapshot of the BIOS extension, or of the BIOS if
        `hardware` has one, where the machine takes a file (GENROMS); else None.

        Raises: MachineError with what is missing and how to get it.
        """
