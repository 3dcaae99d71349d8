"""Firmware lies where libxc and QEMU put it, however it came."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from devicemodel.ready import Ready, ready, report
from handoff.addresses import MIB, Gpa, GpaRange
from handoff.errors import ConfigError, DigestMismatch, PlacementError
from handoff.firmware import BiosRom, DirectEntry
from handoff.platforms import Platform
from handoff.report import check_report, decode_report, encode_report
from tests.builders import Guest, noise, poisoned_guest
from tests.devicemodel.images.elves import Elf, Load
from tests.devicemodel.images.firmware.staged import (
    LOADER,
    PC_BIOS,
    UEFI,
    Offered,
    from_host,
    from_ram,
    next_page,
    plan_of,
)

ON_XEN = [Offered(PC_BIOS, LOADER), Offered(UEFI, LOADER)]
ON_QEMU = [Offered(PC_BIOS), Offered(PC_BIOS[-0x20000:]), Offered(UEFI)]
Way = Callable[[Offered, Guest], Ready]
each_way = pytest.mark.parametrize("way", [from_ram, from_host], ids=["handoff", "native"])


def content(guest: Guest, start: int, size: int) -> bytes:
    return guest.ram.read(GpaRange(Gpa(start), size))


@each_way
@pytest.mark.parametrize("offered", ON_XEN, ids=["PC", "UEFI"])
def test_hvmloader_finds_itself_its_bios_and_its_start_info(offered: Offered, way: Way) -> None:
    with poisoned_guest(Platform.XEN_HVM) as guest:
        plan = plan_of(way(offered, guest))
        bios_at = next_page(0x105678)
        info_at = next_page(bios_at + len(offered.bios))

        assert plan.firmware == DirectEntry(Gpa(0x100010), Gpa(info_at))
        segment = content(guest, 0x100000, 0x5678)
        assert LOADER.endswith(segment[:0x1234])
        assert segment[0x1234:] == bytes(0x5678 - 0x1234)
        assert content(guest, bios_at, len(offered.bios)) == offered.bios

        info = struct.unpack("<IIIIQQQQII", content(guest, info_at, 56))
        magic, version, flags, modules, modlist, _, rsdp, memmap, entries, _ = info
        assert (magic, version, flags, modules, rsdp) == (0x336EC578, 1, 0, 1, 0)
        start, size, line, _ = struct.unpack("<QQQQ", content(guest, modlist, 32))
        assert (start, size) == (bios_at, len(offered.bios))
        assert content(guest, line, 9) == b"firmware\0"
        assert entries == 1
        assert struct.unpack("<QQII", content(guest, memmap, 24)) == (MIB, 63 * MIB, 1, 0)


@each_way
@pytest.mark.parametrize(("acpi", "smbios"), [(0x1234, 5), (0x1000, None), (None, 1)])
def test_tables_for_hvmloader_follow_its_bios_each_on_a_page(
    acpi: int | None, smbios: int | None, way: Way
) -> None:
    given = [None if size is None else noise(size, 30 + size % 7) for size in (acpi, smbios)]
    with poisoned_guest(Platform.XEN_HVM) as guest:
        plan = plan_of(way(Offered(PC_BIOS, LOADER, *given), guest))
        end = next_page(0x105678) + len(PC_BIOS)
        expected: list[GpaRange | None] = []
        for tables in given:
            expected.append(None)
            if tables is not None:
                expected[-1] = GpaRange(Gpa(next_page(end)), len(tables))
                assert content(guest, next_page(end), len(tables)) == tables
                end = expected[-1].end
        info_at = Gpa(next_page(end))
        assert plan.firmware == DirectEntry(Gpa(0x100010), info_at, *expected)
        assert struct.unpack("<I", content(guest, info_at, 4)) == (0x336EC578,)


@each_way
@pytest.mark.parametrize("offered", ON_QEMU, ids=["256 KiB", "128 KiB", "UEFI"])
def test_a_qemu_pc_has_its_bios_whole_and_its_end_below_1_mib(offered: Offered, way: Way) -> None:
    with poisoned_guest(Platform.QEMU_PC) as guest:
        plan = plan_of(way(offered, guest))
        where = GpaRange.between(32 * MIB - len(offered.bios), 32 * MIB)
        assert plan.firmware == BiosRom(where)
        assert guest.ram.read(where) == offered.bios
        assert content(guest, 0xE0000, 0x20000) == offered.bios[-0x20000:]
        assert guest.poisoned(GpaRange(Gpa(0xC0000), 0x20000))


@pytest.mark.parametrize(
    ("platform", "offered"),
    [(Platform.XEN_HVM, offered) for offered in ON_XEN]
    + [(Platform.QEMU_PC, offered) for offered in ON_QEMU],
)
def test_both_ways_give_the_same_bytes_in_every_range(platform: Platform, offered: Offered) -> None:
    with poisoned_guest(platform) as one, poisoned_guest(platform) as other:
        first, second = plan_of(from_ram(offered, one)), plan_of(from_host(offered, other))
        assert (first.method, first.firmware) == (second.method, second.firmware)
        assert [p.described() for p in first.placements] == [
            p.described() for p in second.placements
        ]
        for placement in first.placements:
            assert one.ram.read(placement.range) == other.ram.read(placement.range)


@pytest.mark.parametrize(
    ("platform", "offered"), [(Platform.XEN_HVM, ON_XEN[0]), (Platform.QEMU_PC, ON_QEMU[0])]
)
def test_the_report_is_one_the_toolstack_believes(platform: Platform, offered: Offered) -> None:
    with poisoned_guest(platform) as guest:
        done = from_ram(offered, guest)
        told = report(done.inserted)
        assert told.rom is None
        assert told.firmware == plan_of(done).firmware
        assert decode_report(encode_report(told, 7)) == (7, told)
        check_report(told, [region.range for region in guest.regions])


def test_uefi_firmware_goes_to_the_end_of_4_gib_on_xen_and_its_end_to_1_mib() -> None:
    with poisoned_guest(Platform.XEN_HVM) as guest:
        plan = plan_of(from_ram(ON_XEN[1], guest))
        (bios,) = (p for p in plan.placements if p.name == "bios")
        places = "[0xffe00000, 0x100000000) and [0xf0000, 0x100000)"
        assert bios.reason == f"hvmloader copies it to {places}"


def test_a_loader_that_does_not_fit_says_how_much_memory_is_enough() -> None:
    low = Elf((Load(0x1F00000, b"x", memsz=0x200000),), bits=32, entry=0x1F00000).build()
    with (
        poisoned_guest(Platform.XEN_HVM) as guest,
        pytest.raises(PlacementError, match=r"firmware needs .*: give the guest at least 2 MiB"),
    ):
        from_ram(Offered(PC_BIOS, low), guest)


def test_a_loader_below_1_mib_fits_in_no_guest() -> None:
    low = Elf((Load(0x10000, b"x"),), bits=32, entry=0x10000).build()
    with (
        poisoned_guest(Platform.XEN_HVM) as guest,
        pytest.raises(PlacementError, match="no amount of memory"),
    ):
        from_ram(Offered(PC_BIOS, low), guest)


@pytest.mark.parametrize(
    ("platform", "offered", "text"),
    [
        (Platform.XEN_HVM, ON_QEMU[0], "take --platform qemu-pc"),
        (Platform.QEMU_PC, ON_XEN[0], "take --platform xen-hvm"),
        (Platform.QEMU_PC, Offered(PC_BIOS, smbios=b"x"), "smbios: .* take --platform xen-hvm"),
    ],
)
def test_each_platform_has_firmware_of_its_own(
    platform: Platform, offered: Offered, text: str
) -> None:
    with poisoned_guest(platform) as guest, pytest.raises(ConfigError, match=text):
        from_ram(offered, guest)


def test_a_bios_that_changes_before_the_guest_runs_is_noticed() -> None:
    with poisoned_guest(Platform.QEMU_PC) as guest:
        done = from_ram(ON_QEMU[0], guest)
        guest.ram.write(Gpa(0xFFFF0), b"\xf4")
        with pytest.raises(DigestMismatch):
            ready(done.inserted, guest.ram)
