"""The DMA block: what a guest leaves in its RAM for the device, and the word that answers it.

Big-endian: u32 control, u32 length, u64 address. Source: docs/specs/fw_cfg.rst of QEMU.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from handoff.addresses import AddressError, Gpa, GpaRange
from handoff.errors import RamAccessError
from handoff.guest_ram import GuestRam

_BLOCK: Final = struct.Struct(">IIQ")
_CONTROL: Final = struct.Struct(">I")


class Control(IntFlag):
    """Bits of the control word; the selector is in its upper half."""

    ERROR = 0x01
    READ = 0x02
    SKIP = 0x04
    SELECT = 0x08
    WRITE = 0x10


@dataclass(frozen=True, slots=True)
class DmaBlock:
    control: int
    length: int
    """bytes, up to 2^32 - 1"""
    address: int
    """any 64-bit number: the guest's word"""

    @property
    def selector(self) -> int:
        return self.control >> 16


def read_block(ram: GuestRam, at: int) -> DmaBlock | None:
    """The block at `at`, None where it does not lie in RAM."""
    try:
        return DmaBlock(*_BLOCK.unpack(ram.read(GpaRange(Gpa(at), _BLOCK.size))))
    except (AddressError, RamAccessError):
        return None


def answer_block(ram: GuestRam, at: int, control: Control) -> None:
    """Stores the control word of the block at `at`; lost where there is no RAM."""
    try:
        GpaRange(Gpa(at), _CONTROL.size)
        ram.write(Gpa(at), _CONTROL.pack(control))
    except (AddressError, RamAccessError):
        return
