from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import FOUR_GIB, GIB, MIB, GpaRange, first_overlap
from handoff.platforms import (
    MEMORY_MIN_BYTES,
    ROM_WINDOW,
    ROM_WINDOW_STEP,
    Platform,
    Until,
    low_ram_limit,
    memory_map,
    ranges,
    reservations,
    staging_window,
)

platforms = st.sampled_from(Platform)
memories = st.integers(MEMORY_MIN_BYTES // MIB, 64 * 1024).map(lambda mib: mib * MIB)


@pytest.mark.parametrize(
    ("platform", "memory_bytes", "limit"),
    [
        (Platform.XEN_HVM, 64 * MIB, 0xF0000000),
        (Platform.XEN_HVM, 8 * GIB, 0xF0000000),
        (Platform.QEMU_PC, 0xE0000000 - MIB, 0xE0000000),
        (Platform.QEMU_PC, 0xE0000000, 0xC0000000),
        (Platform.QEMU_PC, 8 * GIB, 0xC0000000),
    ],
)
def test_low_ram_ends_where_the_mmio_hole_begins(
    platform: Platform, memory_bytes: int, limit: int
) -> None:
    assert low_ram_limit(platform, memory_bytes) == limit


@given(platforms, memories)
def test_a_map_has_all_memory_but_the_pcs_own_hole_below_1_mib(
    platform: Platform, memory_bytes: int
) -> None:
    map_ = memory_map(memory_bytes, low_ram_limit(platform, memory_bytes))
    assert sum(ram.size for ram in map_.ram()) == memory_bytes - (0x100000 - 0x9FC00)
    assert map_.low_ram_end() == min(memory_bytes, low_ram_limit(platform, memory_bytes))
    assert all(ram.end <= 0xF0000000 or ram.start >= FOUR_GIB for ram in map_.ram())


@given(platforms, memories)
def test_reservations_are_disjoint_and_leave_the_staging_window_alone(
    platform: Platform, memory_bytes: int
) -> None:
    map_ = memory_map(memory_bytes, low_ram_limit(platform, memory_bytes))
    reserved = reservations(platform, map_)
    taken = ranges(reserved)
    assert list(reserved) == sorted(reserved)
    assert first_overlap((*taken, staging_window(map_))) is None
    assert all(where.end <= map_.low_ram_end() for where in taken)
    both = ranges(reserved, Until.BEV) + ranges(reserved, Until.ALWAYS)
    assert sorted(both) == sorted(taken)


def test_only_hvmloader_holds_the_second_megabyte_and_only_until_the_bev() -> None:
    second = GpaRange.between(MIB, 2 * MIB)
    map_ = memory_map(512 * MIB, low_ram_limit(Platform.XEN_HVM, 512 * MIB))
    assert second in ranges(reservations(Platform.XEN_HVM, map_), Until.BEV)
    assert not any(second.overlaps(r) for r in ranges(reservations(Platform.QEMU_PC, map_)))


def test_low_memory_is_free_once_the_bios_has_zeroed_it() -> None:
    map_ = memory_map(64 * MIB, low_ram_limit(Platform.QEMU_PC, 64 * MIB))
    reserved = reservations(Platform.QEMU_PC, map_)
    assert GpaRange.between(0x7000, 0x90000) in ranges(reserved, Until.BEV)


def test_old_setup_code_finds_room_at_0x90000_below_the_last_page_before_the_ebda() -> None:
    for platform in Platform:
        map_ = memory_map(64 * MIB, low_ram_limit(platform, 64 * MIB))
        reserved = reservations(platform, map_)
        assert GpaRange.between(0x90000, 0x9F000) in ranges(reserved, Until.BEV)
        assert GpaRange.between(0x9F000, 0x100000) in ranges(reserved, Until.ALWAYS)


def test_the_least_guest_has_room_to_stage() -> None:
    window = staging_window(memory_map(MEMORY_MIN_BYTES, low_ram_limit(Platform.QEMU_PC, 0)))
    assert (window.start, window.end) == (2 * MIB, 32 * MIB)


def test_the_rom_window_is_made_of_slots() -> None:
    assert ROM_WINDOW.start % ROM_WINDOW_STEP == ROM_WINDOW.end % ROM_WINDOW_STEP == 0
