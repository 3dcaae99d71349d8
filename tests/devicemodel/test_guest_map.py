from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.guest_map import GuestMap, Space
from handoff.addresses import MIB, Gpa, GpaRange
from handoff.e820 import E820Entry, E820Map, E820Type
from handoff.errors import PlacementError
from handoff.platforms import Platform, Reservation, Until, memory_map, reservations
from tests.strategies import gpa_ranges


def guest(platform: Platform = Platform.XEN_HVM, memory_bytes: int = 64 * MIB) -> GuestMap:
    e820 = memory_map(memory_bytes, Gpa(0xF0000000))
    return GuestMap(e820, reservations(platform, e820))


@pytest.mark.parametrize(
    ("start", "end", "now", "at_bev"),
    [
        (0x200000, 0x2000000, None, None),  # all of the staging area
        (0x100000, 0x101000, "hvmloader", None),
        (0x1FFFFF, 0x200001, "hvmloader", None),
        (0x10000, 0x20000, "zeroed at int 19h", None),
        (0x6FFF, 0x7001, "interrupt vectors", "interrupt vectors"),
        (0x8FFFF, 0x90001, "zeroed at int 19h", None),
        (0x90000, 0x9F000, "memory below the EBDA", None),
        (0x9EFFF, 0x9F001, "memory below the EBDA", "EBDA, VGA"),
        (0xA0000, 0xA1000, "not RAM", "not RAM"),
        (0x2000000, 0x2000001, "temporary zone", None),
        (0x3F00000, 0x3F00001, "tables", "tables"),
        (0x3FFFFFF, 0x4000001, "not RAM (low RAM ends at 0x4000000)", "not RAM"),
    ],
)
def test_what_is_not_free_has_a_reason(
    start: int, end: int, now: str | None, at_bev: str | None
) -> None:
    where = GpaRange.between(start, end)
    for asked, expected in ((False, now), (True, at_bev)):
        found = guest().conflict(where, at_bev=asked)
        assert (found is None) == (expected is None)
        assert expected is None or (found is not None and expected in found)


def test_a_free_range_is_ram_and_neither_reserved_nor_taken() -> None:
    space = Space(guest())
    space.take(GpaRange.between(0x300000, 0x400000))
    free = space.free(GpaRange.between(0, 64 * MIB))
    assert [str(piece) for piece in free] == ["[0x200000, 0x300000)", "[0x400000, 0x2000000)"]
    assert space.free(GpaRange.between(0x2FFFFF, 0x400001)) == (
        GpaRange(Gpa(0x2FFFFF), 1),
        GpaRange(Gpa(0x400000), 1),
    )


def test_a_hole_in_ram_is_not_free() -> None:
    e820 = E820Map(
        (
            E820Entry(GpaRange.between(0, 0x800000), E820Type.RAM),
            E820Entry(GpaRange.between(0x800000, 0xC00000), E820Type.NVS),
            E820Entry(GpaRange.between(0x1000000, 0x4000000), E820Type.RAM),
        )
    )
    free = Space(GuestMap(e820, ())).free(GpaRange.between(0x700000, 0x1100000))
    assert [str(piece) for piece in free] == ["[0x700000, 0x800000)", "[0x1000000, 0x1100000)"]


def test_highest_and_lowest_take_from_their_ends_on_a_boundary() -> None:
    space = Space(guest())
    staging = space.guest.staging
    assert str(space.highest(0x1001, 0x1000, staging, "a")) == "[0x1ffe000, 0x1fff001)"
    assert str(space.highest(0xFFF, 0x1, staging, "b")) == "[0x1fff001, 0x2000000)"
    assert str(space.lowest(0x1, 0x1000, staging, "c")) == "[0x200000, 0x200001)"
    assert str(space.lowest(0x1, 0x1000, staging, "d")) == "[0x201000, 0x201001)"


def test_a_hole_that_is_too_small_on_its_boundary_is_passed_over() -> None:
    space = Space(guest())
    space.take(GpaRange.between(0x201800, 0x1FFE800))
    within = space.guest.staging  # holes [0x200000, 0x201800) and [0x1ffe800, 0x2000000)
    assert space.highest(0x1800, 0x1000, within, "x").start == 0x200000
    space = Space(guest())
    space.take(GpaRange.between(0x200800, 0x201800))
    space.take(GpaRange.between(0x202000, 0x2000000))
    with pytest.raises(PlacementError):
        space.lowest(0x1000, 0x1000, within, "x")


def test_no_room_says_what_is_needed_what_there_is_and_what_to_do() -> None:
    space = Space(guest())
    space.take(GpaRange.between(0x400000, 0x1E00000))
    expected = (
        "ramdisk needs 0x280000 bytes within [0x200000, 0x2000000), the largest hole is "
        "0x200000 bytes at 0x200000: give the guest at least 1 MiB more memory"
    )
    for choose in (space.highest, space.lowest):
        with pytest.raises(PlacementError, match=re.escape(expected)):
            choose(0x280000, 0x1000, space.guest.staging, "ramdisk")
    space.take(space.guest.staging)
    with pytest.raises(PlacementError, match="none is free: give the guest at least 1 MiB more"):
        space.highest(1, 1, space.guest.staging, "ramdisk")


def test_where_a_limit_lies_below_the_end_of_memory_more_of_it_would_not_help() -> None:
    space = Space(guest())
    with pytest.raises(PlacementError, match="0x200000 bytes at 0x200000: more memory would not"):
        space.highest(0x200001, 0x1000, GpaRange.between(0x200000, 0x400000), "ramdisk")


@given(st.integers(1, 80 * MIB), st.integers(1, 40 * MIB))
def test_the_memory_asked_for_is_enough_and_two_mib_less_is_not(taken: int, size: int) -> None:
    """Less by two: the boundary asked for costs up to a page, which rounds up to a MiB."""

    def choose(memory_bytes: int) -> None:
        space = Space(guest(memory_bytes=memory_bytes))
        space.take(GpaRange(Gpa(0x200000), taken))
        space.highest(size, 0x1000, space.guest.staging, "ramdisk")

    try:
        choose(64 * MIB)
    except PlacementError as refused:
        asked = re.search(r"at least (\d+) MiB more", str(refused))
        assert asked is not None
        choose((64 + int(asked[1])) * MIB)
        with pytest.raises(PlacementError):
            choose((64 + int(asked[1]) - 2) * MIB)


@given(
    st.lists(gpa_ranges(limit=0x100), max_size=3),
    st.lists(gpa_ranges(limit=0x100), max_size=3),
    st.lists(
        st.tuples(st.integers(1, 0x30), st.sampled_from([1, 2, 8, 32]), st.booleans()), max_size=6
    ),
    gpa_ranges(limit=0x100),
)
def test_what_is_taken_is_aligned_ram_of_its_own(
    reserved: list[GpaRange],
    taken: list[GpaRange],
    wishes: list[tuple[int, int, bool]],
    within: GpaRange,
) -> None:
    ram = GpaRange(Gpa(0x10), 0xD0)
    far = GpaRange(Gpa(64 * MIB - 1), 1)
    e820 = E820Map((E820Entry(ram, E820Type.RAM), E820Entry(far, E820Type.RAM)))
    space = Space(GuestMap(e820, tuple(Reservation(r, "x", Until.BEV) for r in reserved)))
    used = [*reserved, *taken]
    for where in taken:
        space.take(where)
    for size, align, high in wishes:
        choose = space.highest if high else space.lowest
        starts = [
            start
            for start in range(0, 0x100, align)
            if ram.contains(GpaRange(Gpa(start), size))
            and within.contains(GpaRange(Gpa(start), size))
            and not any(GpaRange(Gpa(start), size).overlaps(other) for other in used)
        ]
        if not starts:
            with pytest.raises(PlacementError):
                choose(size, align, within, "x")
            continue
        found = choose(size, align, within, "x")
        assert found == GpaRange(Gpa(max(starts) if high else min(starts)), size)
        used.append(found)


@pytest.mark.parametrize("platform", Platform)
@pytest.mark.parametrize("more", [MIB, 448 * MIB])
def test_a_grown_guest_is_the_larger_guest(platform: Platform, more: int) -> None:
    small, large = guest(platform), guest(platform, 64 * MIB + more)
    assert small.grown(0) == small
    assert small.grown(more) == large
    assert small.room_to_grow == 0xFC000000 - 64 * MIB
    assert large.room_to_grow == small.room_to_grow - more


def test_ram_grows_no_further_than_to_4_gib() -> None:
    e820 = E820Map((E820Entry(GpaRange.between(0, 0xC0000000), E820Type.RAM),))
    assert GuestMap(e820, ()).room_to_grow == 0x40000000
