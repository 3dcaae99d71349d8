"""The maps of docs/boot-methods.md have the addresses of the code."""

from __future__ import annotations

import re

import pytest

from devicemodel.fw_cfg import multiboot as multiboot_rom
from devicemodel.fw_cfg.pvh import ROM_MEMORY
from devicemodel.images import boot_params
from devicemodel.images.linux.entry import ENTRY_64_OFFSET
from devicemodel.images.linux.low_memory import AT_576_KIB, MODERN
from devicemodel.images.linux.placement import FIXED_BASE, RELOCATED_BASE, ZIMAGE_BASE
from devicemodel.images.multiboot_info import BOOTLOADER_MAGIC, FLAGS
from handoff.addresses import MIB, Gpa
from handoff.platforms import (
    TOP_KEPT_BYTES,
    TOP_ZONE_BYTES,
    Platform,
    Until,
    low_ram_limit,
    memory_map,
    reservations,
)
from tests.docs.documents import ROOT

TEXT = (ROOT / "docs" / "boot-methods.md").read_text()
MEMORY = 512 * MIB


def part(label: str) -> str:
    (found,) = re.findall(rf"<!-- {label} -->(.*?)<!-- end -->", TEXT, re.DOTALL)
    return str(found)


def addresses(label: str) -> list[int]:
    """The first address of each row."""
    found = (re.search(r"`(0x[0-9a-f]+)`", row) for row in part(label).splitlines())
    return [int(match[1], 16) for match in found if match]


def test_what_a_platform_keeps_is_the_codes() -> None:
    def word(platform: Platform, start: int) -> str:
        e820 = memory_map(MEMORY, low_ram_limit(platform, MEMORY))
        for entry in reservations(platform, e820):
            if entry.range.start == start:
                return "until BEV" if entry.until is Until.BEV else "always"
        return "-"

    starts = addresses("reserved")
    rows = part("reserved").strip().splitlines()[2:]
    for start, row in zip(starts, rows, strict=False):
        assert row.endswith(
            f"| {word(Platform.XEN_HVM, start)} | {word(Platform.QEMU_PC, start)} |"
        )
    e820 = memory_map(MEMORY, Gpa(0xF0000000))
    low = [e for e in reservations(Platform.XEN_HVM, e820) if e.range.start < 2 * MIB]
    assert starts == [int(entry.range.start) for entry in low]
    assert (TOP_ZONE_BYTES, TOP_KEPT_BYTES) == (32 * MIB, MIB)


@pytest.mark.parametrize(
    ("label", "codes"),
    [
        ("linux", [MODERN.base, MODERN.cmdline, RELOCATED_BASE, FIXED_BASE]),
        ("old linux", [AT_576_KIB.base, AT_576_KIB.cmdline]),
        (
            "rom",
            [
                MODERN.base,
                MODERN.cmdline,
                FIXED_BASE,
                multiboot_rom.MMAP,
                multiboot_rom.INFO,
                ROM_MEMORY.start,
            ],
        ),
    ],
)
def test_a_map_has_the_addresses_of_the_code(label: str, codes: list[int]) -> None:
    assert addresses(label) == codes


@pytest.mark.parametrize(
    "value", [MODERN.stack_top, AT_576_KIB.stack_top, ZIMAGE_BASE, ENTRY_64_OFFSET, FLAGS]
)
def test_a_number_that_is_told_is_the_codes(value: int) -> None:
    assert f"`{value:#x}`" in TEXT.replace("SP `", "`")


def test_what_registers_and_boot_params_hold_is_the_codes() -> None:
    assert f"`{BOOTLOADER_MAGIC:#x}`" in TEXT
    base = MODERN.base
    collected = boot_params.memory_map_of(base)
    records, count = collected.records - base, collected.count - base
    assert f"(`{records:#x}`, its length at `{count:#x}`)" in TEXT
