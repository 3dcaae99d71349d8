from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from devicemodel.bios_extension.block import KNOWN_BLOCK
from devicemodel.bios_extension.block_codec import decode, encode
from devicemodel.bios_extension.rom import check_rom, rom_image
from devicemodel.insert import free_slot, insert
from devicemodel.move import Moved, move
from devicemodel.place import place
from devicemodel.verify import verify
from handoff.addresses import MIB, Gpa, GpaRange
from handoff.descriptor import Descriptor, Insert
from handoff.errors import DigestMismatch, PlacementError
from handoff.guest_ram import GuestRam, MemfdRam, Readable, regions_for
from handoff.platforms import Platform, memory_map
from tests.builders import RELOCATABLE, Guest, small_ram
from tests.devicemodel.handover import Staged, discovered

KERNEL = RELOCATABLE.build()
ROM_BYTES = len(rom_image())
STEP = 0x800
SIZE = 0xA00
"""More than one slot, less than two."""
ROM = rom_image()[:SIZE].ljust(SIZE, b"\0")


def moved(guest: Guest, how: Insert = Insert.WINDOW) -> Moved:
    found = discovered(guest, Staged(KERNEL, 0x400000, insert=how))
    return move(place(verify(found, guest.ram)), guest.ram)


def put_rom(guest: Guest, at: int, sectors: int) -> None:
    """The head of an option ROM of `sectors` * 512 bytes."""
    guest.ram.write(Gpa(at), b"\x55\xaa" + bytes([sectors]))


def window(guest: Guest, start: int = 0xC8000, end: int = 0xE0000) -> Descriptor:
    return replace(guest.descriptor(()), rom_window=GpaRange.between(start, end))


def test_in_a_window_the_rom_lies_in_the_first_slot(qemu: Guest) -> None:
    done = insert(moved(qemu), qemu.ram)
    plan = done.moved.placed.plan
    assert done.rom == GpaRange(Gpa(0xC8000), ROM_BYTES)
    header = check_rom(qemu.ram.read(done.rom))
    assert header.block_gpa == plan.block_range.start
    assert qemu.poisoned(plan.rom_staging)


def test_as_a_file_the_rom_stays_in_staging_and_the_window_is_left_alone(qemu: Guest) -> None:
    done = insert(moved(qemu, Insert.GENROMS), qemu.ram)
    assert done.rom == done.moved.placed.plan.rom_staging
    check_rom(qemu.ram.read(done.rom))
    assert qemu.poisoned(GpaRange.between(0xC0000, 0x100000))


def test_of_a_rom_that_a_device_has_only_the_block_is_written(xen: Guest) -> None:
    ready = moved(xen, Insert.PCI_ROM)
    done = insert(ready, xen.ram)
    assert done.rom is None
    assert [one.range for one in done.landed[len(ready.landed) :]] == [KNOWN_BLOCK]
    assert xen.poisoned(GpaRange.between(0xC0000, KNOWN_BLOCK.start))


@pytest.mark.parametrize("how", Insert)
def test_the_block_in_ram_is_the_plans(xen: Guest, how: Insert) -> None:
    done = insert(moved(xen, how), xen.ram)
    plan = done.moved.placed.plan
    (landed,) = [one for one in done.landed if one.name == "parameter block"]
    assert landed.range == plan.block_range
    found = xen.ram.read(landed.range)
    length = len(encode(plan.block))
    assert decode(found[:length]) == plan.block
    assert found[length:] == bytes(plan.block_range.size - length)


def test_all_that_was_written_is_kept_for_the_last_check(qemu: Guest) -> None:
    done = insert(moved(qemu), qemu.ram)
    names = {"parameter block", "BIOS extension"}
    assert {one.name for one in done.landed[-2:]} == names
    assert done.landed[:-2] == done.moved.landed
    for one in done.landed[-2:]:
        assert qemu.ram.digest(one.range) == one.digest


@pytest.fixture
def low() -> Iterator[Guest]:
    """A guest of which only the first MiB is there: all that a search for a slot may touch."""
    e820 = memory_map(64 * MIB, Gpa(0xE0000000))
    regions = regions_for(MIB, Gpa(0xE0000000))
    with small_ram(regions) as ram:
        yield Guest(Platform.QEMU_PC, 64 * MIB, e820, regions, ram)


@pytest.mark.parametrize(
    ("roms", "slot"),
    [
        ([], 0xC8000),
        ([(0xC8000, 1)], 0xC8800),  # 512 bytes take a whole slot
        ([(0xC8000, 4)], 0xC8800),
        ([(0xC8000, 5)], 0xC9000),
        ([(0xC8000, 0)], 0xC8800),  # a length of 0 is no way to stand still
        ([(0xC8800, 4)], 0xC9000),  # the slot before it is too short
        ([(0xC9000, 4)], 0xC8000),
        ([(0xC8000, 4), (0xC9000, 4)], 0xC9800),
        ([(0xC8000, 176)], 0xDE000),
    ],
)
def test_the_place_is_the_first_where_no_byte_of_another_rom_is(
    low: Guest, roms: list[tuple[int, int]], slot: int
) -> None:
    for at, sectors in roms:
        put_rom(low, at, sectors)
    assert free_slot(window(low), ROM, low.ram) == GpaRange(Gpa(slot), SIZE)


@pytest.mark.parametrize(
    "roms",
    [
        [(0xC8000, 255)],
        [(0xC8000, 189)],
        [(at, 4) for at in range(0xC8000, 0xE0000, 2 * STEP)],
    ],
)
def test_a_full_window_is_refused_with_its_bounds(low: Guest, roms: list[tuple[int, int]]) -> None:
    for at, sectors in roms:
        put_rom(low, at, sectors)
    with pytest.raises(PlacementError) as refused:
        free_slot(window(low), ROM, low.ram)
    assert "0xa00 bytes of the option-ROM window [0xc8000, 0xe0000)" in str(refused.value)


def test_a_window_is_used_to_its_last_byte_and_not_beyond(low: Guest) -> None:
    assert free_slot(window(low, 0xC8000, 0xC8A00), ROM, low.ram).end == 0xC8A00
    with pytest.raises(PlacementError):
        free_slot(window(low, 0xC8000, 0xC89FF), ROM, low.ram)


def test_slots_are_on_2_kib_boundaries_whatever_the_window_says(low: Guest) -> None:
    assert free_slot(window(low, 0xC8001), ROM, low.ram).start == 0xC8800


class ReadOnlyWindow:
    """RAM whose option-ROM window drops what is written to it, as a locked shadow does."""

    def __init__(self, ram: MemfdRam) -> None:
        self.read, self.digest = ram.read, ram.digest
        self.move, self.fill, self.release = ram.move, ram.fill, ram.release
        self._write = ram.write

    def write(self, at: Gpa, data: Readable) -> None:
        if not 0xC0000 <= at < 0x100000:
            self._write(at, data)


def test_what_was_written_is_read_back(qemu: Guest) -> None:
    ready = moved(qemu)
    locked: GuestRam = ReadOnlyWindow(qemu.ram)
    with pytest.raises(DigestMismatch, match=r"BIOS extension at \[0xc8000, "):
        insert(ready, locked)


def test_the_rom_of_a_lost_attempt_is_replaced(qemu: Guest) -> None:
    # Two of them, and firmware would enter the one that nobody digests any more.
    first = insert(moved(qemu), qemu.ram)
    again = insert(moved(qemu), qemu.ram)
    assert again.rom == first.rom


def test_half_a_rom_of_a_lost_attempt_is_replaced(qemu: Guest) -> None:
    qemu.ram.write(Gpa(0xC8000), rom_image(Gpa(0x300000))[:0x20])
    assert insert(moved(qemu), qemu.ram).rom == GpaRange(Gpa(0xC8000), ROM_BYTES)
