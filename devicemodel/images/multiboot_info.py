"""The multiboot information structure and what it points at, in one piece of guest RAM.

    info | module table | room for the memory map | strings

The memory map and the sizes of memory are firmware's: the BIOS extension fills them in.
Source: Multiboot specification 0.6.96, section 3.3.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from devicemodel.bios_extension.block import (
    E820_MAX_RECORDS,
    CountForm,
    E820Collection,
    E820Format,
)
from handoff.addresses import Gpa, GpaRange

BOOTLOADER_MAGIC: Final = 0x2BADB002
"""EAX at the entry."""
LOADER_NAME: Final = b"stubdom-direct-boot"
BOOT_DEVICE: Final = 0x8000FFFF
"""First hard disk, no partition: as QEMU says, whatever was booted from."""
FLAGS: Final = 0x24F
"""Memory sizes (0), boot device (1), command line (2), modules (3), memory map (6), name of the
loader (9)."""
MEM_LOWER: Final = 0x04
MEM_UPPER: Final = 0x08
MMAP_LENGTH: Final = 0x2C

# flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr; no symbols; mmap_length,
# mmap_addr; no drives, no configuration table; boot_loader_name; no APM table, no VBE.
_INFO: Final = struct.Struct("<7I 16x 2I 12x I 20x")
_MODULE: Final = struct.Struct("<IIII")
assert (_INFO.size, _MODULE.size) == (0x58, 16)
_MMAP_BYTES: Final = E820_MAX_RECORDS * E820Format.MULTIBOOT.record_bytes


@dataclass(frozen=True, slots=True)
class Module:
    """Bytes in guest RAM, and the string that comes with them."""

    range: GpaRange
    string: bytes
    """without NUL"""


def info_bytes(cmdline: bytes, module_strings: Sequence[bytes]) -> int:
    """Size of what `multiboot_info` makes."""
    strings = (cmdline, LOADER_NAME, *module_strings)
    fixed = _INFO.size + len(module_strings) * _MODULE.size + _MMAP_BYTES
    return fixed + sum(len(string) + 1 for string in strings)


def multiboot_info(at: Gpa, cmdline: bytes, modules: Sequence[Module]) -> bytes:
    """The structure for the address `at`, modules in the order they are given in."""
    table = at + _INFO.size
    mmap = table + len(modules) * _MODULE.size
    strings_at = mmap + _MMAP_BYTES
    strings = bytearray()

    def placed(string: bytes) -> int:
        nonlocal strings
        where = strings_at + len(strings)
        strings += string + b"\0"
        return where

    cmdline_at, name_at = placed(cmdline), placed(LOADER_NAME)
    entries = b"".join(
        _MODULE.pack(module.range.start, module.range.end, placed(module.string), 0)
        for module in modules
    )
    info = _INFO.pack(
        FLAGS,
        0,  # mem_lower, mem_upper: by the BIOS extension
        0,
        BOOT_DEVICE,
        cmdline_at,
        len(modules),
        table,
        0,  # mmap_length: likewise
        mmap,
        name_at,
    )
    return info + entries + bytes(_MMAP_BYTES) + bytes(strings)


def memory_map_of(at: Gpa, modules: int) -> E820Collection:
    """What the BIOS extension collects for the structure at `at`."""
    return E820Collection(
        format=E820Format.MULTIBOOT,
        records=Gpa(at + _INFO.size + modules * _MODULE.size),
        max_records=E820_MAX_RECORDS,
        count=Gpa(at + MMAP_LENGTH),
        count_form=CountForm.U32_BYTES,
        mem_lower=Gpa(at + MEM_LOWER),
        mem_upper=Gpa(at + MEM_UPPER),
    )
