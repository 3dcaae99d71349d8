"""The parameter block: what the BIOS extension is told to do.

Linux, multiboot and PVH differ only in this data; the ROM that reads it is the same for all. The
block is made by Python, staged where firmware leaves it alone, and interpreted once, when the
BIOS calls the ROM's bootstrap entry vector (BEV). In this order the ROM

1. copies 4 KiB from the block's address to its own scratch and refuses a block whose magic,
   version, length, CRC-32 or counts are wrong (one line on the screen and on COM1, then it
   halts: nothing else boots in the kernel's place);
2. asks the firmware for its E820 map and the size of base memory, if `e820` is set;
3. does `steps`, one after the other, in flat 32-bit protected mode;
4. stores the map, the counters and the RSDP's address, so that they may lie inside a structure
   (boot_params, multiboot info, hvm_start_info) that a step has just put in place;
5. enters the kernel.

Every address is below 4 GiB. The bytes are made by block_codec.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from handoff.addresses import FOUR_GIB, PAGE, Gpa, GpaRange
from handoff.errors import LayoutError, PlacementError

BLOCK_MAX_BYTES: Final = 0x1000
BLOCK_HEADER_BYTES: Final = 0x40
STEP_BYTES: Final = 16
MAX_STEPS: Final = (BLOCK_MAX_BYTES - BLOCK_HEADER_BYTES) // STEP_BYTES

DEFAULT_BLOCK_GPA: Final = Gpa(0x001F0000)
KNOWN_BLOCK: Final = GpaRange(DEFAULT_BLOCK_GPA, BLOCK_MAX_BYTES)
"""Where a ROM that was told nothing else looks: in hvmloader's MiB, above hvmloader and what the
domain builder puts behind it, and below all staging."""

SCRATCH: Final = GpaRange.between(0x7000, 0x9000)
"""Low memory the ROM works in: its copy of the block, its GDT, the raw E820 map. Firmware has
done with it (and zeroed it) when it calls the BEV; a 32- or 64-bit kernel finds its first GDT
there."""

E820_MAX_RECORDS: Final = 128
PAGE_TABLES_BYTES: Final = 6 * PAGE
"""One PML4, one PDPT and four directories of 2 MiB pages: the low 4 GiB."""

_UPPER_MEMORY: Final = GpaRange.between(0xA0000, 0x100000)


class E820Format(IntEnum):
    """How a record of the memory map is laid out where the kernel looks for it."""

    BARE = 1
    """{u64 base, u64 length, u32 type}, 20 bytes: Linux boot_params.e820_table"""
    MULTIBOOT = 2
    """{u32 size = 20, u64 base, u64 length, u32 type}, 24 bytes: multiboot mmap"""
    PVH = 3
    """{u64 base, u64 length, u32 type, u32 0}, 24 bytes: hvm_memmap_table_entry"""

    @property
    def record_bytes(self) -> int:
        return 20 if self is E820Format.BARE else 24


class CountForm(IntEnum):
    """How the length of the map is told."""

    U8_RECORDS = 1
    """one byte, records: boot_params.e820_entries"""
    U32_RECORDS = 2
    """u32, records: hvm_start_info.memmap_entries"""
    U32_BYTES = 3
    """u32, bytes: multiboot info mmap_length"""

    @property
    def size(self) -> int:
        """Bytes the count takes."""
        return 1 if self is CountForm.U8_RECORDS else 4


@dataclass(frozen=True, slots=True)
class Copy:
    """Copies `source` to `to`; where they overlap, as memmove does (the ROM sees to that)."""

    source: GpaRange
    to: Gpa

    def __post_init__(self) -> None:
        _check_below_4g("copy source", self.source)
        _check_written("copy destination", self.to, self.source.size)


@dataclass(frozen=True, slots=True)
class Zero:
    """Fills `where` with zeros: a BSS at an address that firmware occupies until the BEV."""

    where: GpaRange

    def __post_init__(self) -> None:
        _check_written("zero destination", self.where.start, self.where.size)


Step = Copy | Zero


@dataclass(frozen=True, slots=True)
class E820Collection:
    """Where the firmware's memory map goes, as it is at boot time.

    max_records: room for so many, 1 to 128. A longer map is not cut: the ROM refuses to boot,
    because a kernel must not run on half a map.
    mem_lower, mem_upper: where to put, as u32, the KiB of RAM from 0 (int 12h) and from 1 MiB
    to the first hole above it (multiboot info); None: nowhere.
    """

    format: E820Format
    records: Gpa
    max_records: int
    count: Gpa
    count_form: CountForm
    mem_lower: Gpa | None = None
    mem_upper: Gpa | None = None

    def __post_init__(self) -> None:
        _check_number("e820.max_records", 0x1A, self.max_records, 1, E820_MAX_RECORDS)
        _check_written("e820.records", self.records, self.max_records * self.format.record_bytes)
        _check_written("e820.count", self.count, self.count_form.size)
        if self.mem_lower is not None:
            _check_written("e820.mem_lower", self.mem_lower, 4)
        if self.mem_upper is not None:
            _check_written("e820.mem_upper", self.mem_upper, 4)


@dataclass(frozen=True, slots=True)
class RealModeEntry:
    """Enters at cs:ip with ss:sp, DS=ES=FS=GS=ds, IF=DF=0 and the other registers zero.

    The four bytes below ss:sp are used for the jump.
    Source: Linux x86 boot protocol, "Running the kernel".
    """

    cs: int
    ip: int
    ss: int
    sp: int
    ds: int

    def __post_init__(self) -> None:
        for offset, name in enumerate(("ip", "cs", "sp", "ss", "ds")):
            _check_number(f"entry.{name}", 0x30 + 2 * offset, getattr(self, name), 0, 0xFFFF)


@dataclass(frozen=True, slots=True)
class ProtectedModeEntry:
    """Enters at eip in flat 32-bit protected mode, in the state three protocols ask for at once.

    CS=0x10, DS=ES=SS=FS=GS=0x18 (base 0, limit 4 GiB); TR a busy 32-bit TSS with base 0 and
    limit 0x67; CR0 = PE (and the hard-wired ET), CR4 = 0; EFLAGS clear; ECX=EDX=EBP=EDI=0;
    ESP in SCRATCH. Sources: Linux x86 boot protocol (32-bit), multiboot 0.6.96 section 3.2,
    Xen docs/misc/pvh.
    """

    eip: Gpa
    eax: int = 0
    ebx: int = 0
    esi: int = 0

    def __post_init__(self) -> None:
        for offset, name in enumerate(("eip", "eax", "ebx", "esi")):
            value = getattr(self, name)
            _check_number(f"entry.{name}", 0x30 + 4 * offset, value, 0, FOUR_GIB - 1)


@dataclass(frozen=True, slots=True)
class LongModeEntry:
    """Enters at rip in 64-bit mode: RSI=rsi, CS=0x10, data segments 0x18, RFLAGS clear.

    page_tables: where the ROM builds, after all steps, the tables that map the low 4 GiB to
    themselves: PAGE_TABLES_BYTES bytes, page-aligned, the kernel's to replace. RSP is in
    SCRATCH, the other registers to RDI and RBP are zero. Refused by the ROM on a CPU without
    long mode. Source: Linux x86 boot protocol (64-bit).
    """

    rip: Gpa
    rsi: int
    page_tables: Gpa

    def __post_init__(self) -> None:
        _check_number("entry.rip", 0x30, self.rip, 0, FOUR_GIB - 1)
        _check_number("entry.rsi", 0x34, self.rsi, 0, FOUR_GIB - 1)
        _check_written("entry.page_tables", self.page_tables, PAGE_TABLES_BYTES)
        if self.page_tables % PAGE:
            raise LayoutError(
                "parameter block entry.page_tables",
                0x38,
                f"{self.page_tables:#x}",
                f"page tables start at a multiple of {PAGE:#x}",
            )


Entry = RealModeEntry | ProtectedModeEntry | LongModeEntry


@dataclass(frozen=True, slots=True)
class ParameterBlock:
    """All that happens between the BIOS and the kernel.

    steps: at most MAX_STEPS, done in order.
    rsdp: where to store, as u64, the address of the ACPI RSDP that firmware made, 0 if it made
    none (hvm_start_info.rsdp_paddr, boot_params.acpi_rsdp_addr); None: nowhere.
    Raises: PlacementError, LayoutError.
    """

    entry: Entry
    steps: tuple[Step, ...] = ()
    e820: E820Collection | None = None
    rsdp: Gpa | None = None

    def __post_init__(self) -> None:
        _check_number("step_count", 0x10, len(self.steps), 0, MAX_STEPS)
        if self.rsdp is not None:
            _check_written("rsdp", self.rsdp, 8)


def check_block_place(where: GpaRange) -> None:
    """Refuses a place the ROM could not read a block from.

    It reads BLOCK_MAX_BYTES from the start, whatever the block's own length, and its scratch
    is the destination. Raises: PlacementError.
    """
    _check_below_4g("parameter block", where)
    if where.overlaps(SCRATCH):
        raise PlacementError(
            f"parameter block {where} overlaps the BIOS extension's scratch {SCRATCH}, "
            f"which firmware zeroes: stage it above 1 MiB"
        )


def _check_number(field: str, offset: int, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise LayoutError(
            f"parameter block {field}", offset, f"{value:#x}", f"must be {low:#x} to {high:#x}"
        )


def _check_below_4g(field: str, where: GpaRange) -> None:
    if where.end > FOUR_GIB:
        raise PlacementError(
            f"{field} {where} ends above 4 GiB, where the BIOS extension cannot reach: "
            "place it below 0x100000000"
        )


def _check_written(field: str, start: Gpa, size: int) -> None:
    where = GpaRange(start, size)
    _check_below_4g(field, where)
    if start < SCRATCH.end:
        raise PlacementError(
            f"{field} {where} reaches below {SCRATCH.end:#x}, where interrupt vectors, the "
            "firmware's stack and the BIOS extension's scratch are: place it higher"
        )
    if where.overlaps(_UPPER_MEMORY):
        raise PlacementError(
            f"{field} {where} overlaps {_UPPER_MEMORY}, which is VGA, option ROMs and BIOS: "
            "place it outside"
        )
