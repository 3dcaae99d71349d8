"""The maps of docs/boot-methods.md have the addresses of the code, its table the tests' cells."""

from __future__ import annotations

import re

import pytest

from devicemodel.fw_cfg import multiboot as multiboot_rom
from devicemodel.fw_cfg.pvh import ROM_MEMORY
from devicemodel.images import boot_params
from devicemodel.images.compression import WINDOW_MAX_BYTES
from devicemodel.images.elf import HEADERS_MAX, SECTIONS_MAX, SEGMENTS_MAX
from devicemodel.images.elf_notes import NOTES_MAX_BYTES
from devicemodel.images.firmware.images import LOADER_MAX_BYTES
from devicemodel.images.linux.entry import ENTRY_64_OFFSET
from devicemodel.images.linux.low_memory import AT_576_KIB, MODERN
from devicemodel.images.linux.placement import FIXED_BASE, RELOCATED_BASE, ZIMAGE_BASE
from devicemodel.images.multiboot_header import SEARCH_BYTES
from devicemodel.images.multiboot_info import BOOTLOADER_MAGIC, FLAGS
from devicemodel.images.payload import UNPACKED_MAX_BYTES
from handoff.addresses import MIB, Gpa
from handoff.firmware import BIOS_MAX_BYTES
from handoff.frame import FRAME_MAX_BYTES
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
from tests.e2e.matrix.cells import (
    FIRMWARE,
    FIRMWARE_RUN,
    FIRMWARES,
    FOLLOWED,
    platform_of,
    runs,
)
from tests.e2e.matrix.table import Matrix

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
        (
            "direct linux",
            [MODERN.base, MODERN.cmdline, RELOCATED_BASE, RELOCATED_BASE + ENTRY_64_OFFSET],
        ),
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


@pytest.mark.parametrize("value", [MODERN.stack_top, AT_576_KIB.stack_top, ZIMAGE_BASE, FLAGS])
def test_a_number_that_is_told_is_the_codes(value: int) -> None:
    assert f"`{value:#x}`" in TEXT.replace("SP `", "`")


def test_what_registers_and_boot_params_hold_is_the_codes() -> None:
    assert f"`{BOOTLOADER_MAGIC:#x}`" in TEXT
    base = MODERN.base
    collected = boot_params.memory_map_of(base)
    records, count = collected.records - base, collected.count - base
    assert f"(`{records:#x}`, its length at `{count:#x}`)" in TEXT


def test_the_bounds_of_what_an_image_costs_are_the_codes() -> None:
    def mib(size: int) -> str:
        return f"{size // MIB} MiB"

    rows = (line.strip("| ").split(" | ") for line in part("bounds").splitlines())
    found = {row[0]: row[1] for row in rows if len(row) == 2 and row[0] != "what"}
    assert found == {
        "a kernel that is parsed as a whole": "RAM below 4 GiB",
        "what it unpacks to": "the size it says, itself at most `init_size`, RAM below 4 GiB and "
        f"{UNPACKED_MAX_BYTES >> 30} GiB; a byte more is damage",
        "a decoder's own memory": mib(WINDOW_MAX_BYTES),
        "program headers, section headers of an ELF": f"{HEADERS_MAX}, {SECTIONS_MAX}",
        "segments with content": str(SEGMENTS_MAX),
        "notes": f"{NOTES_MAX_BYTES} bytes",
        "search for a multiboot header": f"{SEARCH_BYTES} bytes",
        "a BIOS, hvmloader": f"{mib(BIOS_MAX_BYTES)} each",
        "a frame": f"{FRAME_MAX_BYTES} bytes",
    }
    assert BIOS_MAX_BYTES == LOADER_MAX_BYTES


def promised() -> Matrix:
    """The table of a run in which all of the matrix's tests pass."""
    matrix = Matrix()
    for (image, method), goal in FOLLOWED.items():
        for platform in Platform:
            matrix.followed[image, method, platform] = goal
    for image, method, platform, carrier, machine in runs():
        matrix.ran[image, method, platform, carrier] = machine
    for firmware, goal in FIRMWARES.items():
        for platform in Platform:
            if platform is platform_of(firmware):
                matrix.followed[firmware, FIRMWARE, platform] = goal
            else:
                matrix.refused[firmware, FIRMWARE, platform] = ""
        for (platform, carrier), machine in FIRMWARE_RUN.get(firmware, {}).items():
            matrix.ran[firmware, FIRMWARE, platform, carrier] = machine
    return matrix


def test_the_table_of_what_is_run_is_that_of_the_tests() -> None:
    table = "\n".join(promised().table())
    assert f"```\n{table}\n```\n" in TEXT, f"docs/boot-methods.md has another table than\n{table}"
