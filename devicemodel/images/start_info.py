"""hvm_start_info version 1 and what it points at, in one piece of guest RAM.

    hvm_start_info | module list | room for the memory map | command lines

The memory map is firmware's and not known before the guest runs: the BIOS extension fills it in,
with its length and the address of the RSDP.
Sources: xen/include/public/arch-x86/hvm/start_info.h; docs/misc/pvh.pandoc.
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
from handoff.e820 import E820Entry

MAGIC: Final = 0x336EC578
VERSION: Final = 1
RSDP_PADDR: Final = 0x20
MEMMAP_ENTRIES: Final = 0x30
_START_INFO: Final = struct.Struct("<IIIIQQQQII")
_MODULE: Final = struct.Struct("<QQQQ")
_MEMMAP_ENTRY: Final = struct.Struct("<QQII")
assert (_START_INFO.size, _MODULE.size, _MEMMAP_ENTRY.size) == (56, 32, 24)
_MEMMAP_BYTES: Final = E820_MAX_RECORDS * E820Format.PVH.record_bytes


@dataclass(frozen=True, slots=True)
class Module:
    """hvm_modlist_entry: bytes in guest RAM, and their own command line."""

    range: GpaRange
    cmdline: bytes
    """without NUL; empty: none"""


def start_info_bytes(cmdline: bytes, module_cmdlines: Sequence[bytes]) -> int:
    """Size of what `start_info` makes."""
    strings = [cmdline, *(line for line in module_cmdlines if line)]
    fixed = _START_INFO.size + len(module_cmdlines) * _MODULE.size + _MEMMAP_BYTES
    return fixed + sum(len(line) + 1 for line in strings)


def start_info(
    at: Gpa, cmdline: bytes, modules: Sequence[Module], memory: Sequence[E820Entry] = ()
) -> bytes:
    """The structure for the address `at`, modules in the order they are given in.

    memory: the map, where the BIOS extension is not to collect it; at most E820_MAX_RECORDS.
    """
    modlist = at + _START_INFO.size
    memmap = modlist + len(modules) * _MODULE.size
    strings = bytearray(cmdline + b"\0")
    strings_at = memmap + _MEMMAP_BYTES
    entries = bytearray()
    records = b"".join(
        _MEMMAP_ENTRY.pack(entry.range.start, entry.range.size, entry.type, 0) for entry in memory
    )
    assert len(records) <= _MEMMAP_BYTES
    for module in modules:
        line = 0
        if module.cmdline:
            line = strings_at + len(strings)
            strings += module.cmdline + b"\0"
        entries += _MODULE.pack(module.range.start, module.range.size, line, 0)
    head = _START_INFO.pack(
        MAGIC,
        VERSION,
        0,  # flags
        len(modules),
        modlist if modules else 0,
        strings_at,
        0,  # rsdp_paddr: by the BIOS extension
        memmap,
        len(memory),  # none: likewise
        0,
    )
    return head + bytes(entries) + records.ljust(_MEMMAP_BYTES, b"\0") + bytes(strings)


def memory_map_of(at: Gpa, modules: int) -> E820Collection:
    """What the BIOS extension collects for the structure at `at`."""
    return E820Collection(
        format=E820Format.PVH,
        records=Gpa(at + _START_INFO.size + modules * _MODULE.size),
        max_records=E820_MAX_RECORDS,
        count=Gpa(at + MEMMAP_ENTRIES),
        count_form=CountForm.U32_RECORDS,
    )


def rsdp_of(at: Gpa) -> Gpa:
    """Where the structure at `at` has the address of the ACPI RSDP."""
    return Gpa(at + RSDP_PADDR)
