"""Which entry a kernel has, and what is at each of them: by plans, and in the emulator."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from devicemodel.bios_extension.block import Entry, LongModeEntry, ProtectedModeEntry, RealModeEntry
from devicemodel.images.start_info import memory_map_of, rsdp_of
from devicemodel.plan import BootPlan, Placement
from handoff.addresses import Gpa
from handoff.descriptor import EntryMode, Subarch
from handoff.errors import ConfigError
from handoff.platforms import Platform
from handoff.report import When
from tests.builders import FIXED, RAMDISK, RELOCATABLE, BzImage
from tests.devicemodel.plans import CMDLINE, planned

DIRECT = (EntryMode.PROTECTED, EntryMode.LONG)


def named(plan: BootPlan, name: str, when: When) -> Placement:
    (found,) = [p for p in plan.placements if (p.name, p.when) == (name, when)]
    return found


def params_of(plan: BootPlan) -> bytes:
    """boot_params, the same where they wait and where the kernel gets them."""
    content = named(plan, "boot_params", When.BEV).content
    assert content == named(plan, "boot_params", When.NOW).content
    assert isinstance(content, bytes)
    return content


def number(page: bytes, offset: int, size: int) -> int:
    return int.from_bytes(page[offset : offset + size], "little")


@pytest.mark.parametrize("wanted", [EntryMode.AUTO, EntryMode.REAL])
@pytest.mark.parametrize("image", [RELOCATABLE, FIXED])
def test_every_kernel_is_entered_in_real_mode_unless_the_operator_says_otherwise(
    wanted: EntryMode, image: BzImage
) -> None:
    plan = planned(image, entry=wanted)
    assert isinstance(plan.block.entry, RealModeEntry)
    assert plan.block.e820 is None
    assert plan.block.rsdp is None


@pytest.mark.parametrize("platform", Platform)
@pytest.mark.parametrize(
    ("image", "load"), [(RELOCATABLE, 0x200000), (FIXED, 0x100000)], ids=["relocatable", "fixed"]
)
def test_the_direct_entries_are_at_the_kernels_start_and_0x200_behind(
    platform: Platform, image: BzImage, load: int
) -> None:
    def entry(mode: EntryMode) -> Entry:
        return planned(image, platform, entry=mode).block.entry

    assert entry(EntryMode.PROTECTED) == ProtectedModeEntry(Gpa(load), esi=0x10000)
    long = entry(EntryMode.LONG)
    assert isinstance(long, LongModeEntry)
    assert (long.rip, long.rsi) == (load + 0x200, 0x10000)


def test_the_methods_name_is_the_entrys() -> None:
    assert [planned(RELOCATABLE, entry=mode).method for mode in DIRECT] == [
        "linux 2.15, 32-bit entry",
        "linux 2.15, 64-bit entry",
    ]


def test_the_page_tables_have_room_of_their_own() -> None:
    plan = planned(RELOCATABLE, entry=EntryMode.LONG)
    tables = named(plan, "page tables", When.BEV)
    assert isinstance(plan.block.entry, LongModeEntry)
    assert plan.block.entry.page_tables == tables.range.start
    assert tables.range.size == 6 * 0x1000
    assert tables.content is None
    others = [p.range for p in plan.placements if p is not tables]
    assert not any(tables.range.overlaps(other) for other in others)


@pytest.mark.parametrize("mode", DIRECT)
@pytest.mark.parametrize(
    ("platform", "loader"), [(Platform.XEN_HVM, 0x90), (Platform.QEMU_PC, 0xB0)]
)
def test_boot_params_say_what_setup_code_would_be_told(
    mode: EntryMode, platform: Platform, loader: int
) -> None:
    page = params_of(planned(RELOCATABLE, platform, entry=mode))
    assert number(page, 0x1FA, 2) == 0xFFFF  # vid_mode: normal
    assert number(page, 0x210, 1) == loader
    assert number(page, 0x211, 1) == 0x01  # heap and stack are setup code's
    assert number(page, 0x214, 4) == 0x200000
    assert number(page, 0x218, 4) == 0x1FF5000
    assert number(page, 0x21C, 4) == len(RAMDISK)
    assert number(page, 0x224, 2) == 0x5BE0  # heap_end_ptr as in the file
    assert number(page, 0x228, 4) == 0x20000
    assert number(page, 0x23C, 12) == 0  # hardware_subarch: PC


@pytest.mark.parametrize("mode", DIRECT)
def test_the_bios_extension_fills_in_the_memory_map_and_the_acpi_tables(mode: EntryMode) -> None:
    block = planned(RELOCATABLE, entry=mode).block
    assert block.e820 is not None
    assert (block.e820.records, block.e820.count, block.rsdp) == (0x102D0, 0x101E8, 0x10070)


@pytest.mark.parametrize(
    ("change", "mode", "why"),
    [
        ({"xloadflags": 0xFE}, EntryMode.LONG, "bit 0 of its setup_header.xloadflags 0xfe is"),
        ({"version": 0x20B}, EntryMode.LONG, "bit 0 of its setup_header.xloadflags 0x0 is clear"),
        ({"code32_start": 0}, EntryMode.PROTECTED, "code32_start is 0x0, not 0x100000"),
        ({"code32_start": 0x100200}, EntryMode.LONG, "code32_start is 0x100200"),
        ({"version": 0x201}, EntryMode.PROTECTED, "of protocol 2.01, boot_params came with 2.02"),
        ({"loadflags": 0}, EntryMode.PROTECTED, "it is a zImage"),
        ({"version": 0}, EntryMode.LONG, "it is a zImage"),
    ],
)
def test_an_entry_that_the_kernel_has_not_is_refused_with_the_field_that_says_so(
    change: dict[str, int], mode: EntryMode, why: str
) -> None:
    image = replace(RELOCATABLE, **change)  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as refused:
        planned(image, entry=mode)
    assert str(refused.value).startswith(f"entry {mode.value}: this kernel has no {mode.value}-bit")
    assert why in str(refused.value)
    assert str(refused.value).endswith(": take --entry real")


@pytest.mark.parametrize("mode", DIRECT)
def test_a_video_mode_needs_setup_code(mode: EntryMode) -> None:
    planned(RELOCATABLE, entry=mode, cmdline=b"vga=normal")
    with pytest.raises(ConfigError, match=r"vga= .* 0x317, .* --entry real, or remove vga="):
        planned(RELOCATABLE, entry=mode, cmdline=b"vga=0x317")


@pytest.mark.parametrize("mode", [EntryMode.REAL, *DIRECT])
@pytest.mark.parametrize("ramdisk", [None, len(RAMDISK)])
def test_the_subarchitecture_xen_points_at_a_start_info(
    mode: EntryMode, ramdisk: int | None
) -> None:
    plan = planned(RELOCATABLE, entry=mode, subarch=Subarch.XEN, ramdisk_size=ramdisk)
    info = named(plan, "Xen start info", When.NOW)
    part = "setup code" if mode is EntryMode.REAL else "boot_params"
    header = named(plan, part, When.BEV).content
    assert isinstance(header, bytes)
    assert struct.unpack_from("<IQ", header, 0x23C) == (2, info.range.start)

    assert isinstance(info.content, bytes)
    magic, version, _, modules, modlist, cmdline = struct.unpack_from("<IIIIQQ", info.content)
    assert (magic, version, modules) == (0x336EC578, 1, 0 if ramdisk is None else 1)
    line = info.content[cmdline - info.range.start :]
    assert line == CMDLINE + b"\0"
    if ramdisk is not None:
        at = named(plan, "ramdisk", When.NOW).range
        module = struct.unpack_from("<QQQQ", info.content, modlist - info.range.start)
        assert module == (at.start, at.size, 0, 0)


def test_a_start_info_gets_the_memory_map_where_no_boot_params_need_it() -> None:
    plan = planned(RELOCATABLE, subarch=Subarch.XEN)
    at = named(plan, "Xen start info", When.NOW).range.start
    assert plan.block.e820 == memory_map_of(at, 1)
    assert plan.block.rsdp == rsdp_of(at)


@pytest.mark.parametrize("version", [0x200, 0x206])
def test_a_kernel_without_the_field_is_told_no_subarchitecture(version: int) -> None:
    image = replace(RELOCATABLE, version=version)
    with pytest.raises(ConfigError, match=rf"came with protocol 2.07, .* is 2.0{version & 15}"):
        planned(image, subarch=Subarch.XEN)
