from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import (
    GPA_LIMIT,
    PAGE,
    AddressError,
    Gpa,
    GpaRange,
    align_down,
    align_up,
    first_overlap,
    gpa,
    is_power_of_two,
)
from tests.strategies import gpa_ranges

small_ranges = gpa_ranges(limit=60)


def covered(where: GpaRange) -> set[int]:
    return set(range(where.start, where.end))


def test_addresses_have_52_bits() -> None:
    assert gpa(0) == 0
    assert gpa(GPA_LIMIT - 1) == 0xFFFFFFFFFFFFF
    for value in (-1, GPA_LIMIT):
        with pytest.raises(AddressError, match=f"{value:#x}"):
            gpa(value)


@pytest.mark.parametrize(("start", "end"), [(5, 5), (5, 4), (-1, 3), (0, GPA_LIMIT + 1)])
def test_a_range_is_never_empty_and_never_leaves_the_address_space(start: int, end: int) -> None:
    with pytest.raises(AddressError, match=f"{start:#x}"):
        GpaRange.between(start, end)


def test_a_range_may_end_at_the_very_limit() -> None:
    assert GpaRange.between(GPA_LIMIT - 1, GPA_LIMIT).end == GPA_LIMIT


def test_a_range_is_shown_half_open_in_hex() -> None:
    assert str(GpaRange(Gpa(0x200000), 0x1000)) == "[0x200000, 0x201000)"


@given(st.integers(0, 1 << 40), st.sampled_from([1, 2, 16, PAGE, 1 << 21]))
def test_aligning_moves_to_the_nearest_multiple(value: int, alignment: int) -> None:
    up, down = align_up(value, alignment), align_down(value, alignment)
    assert up % alignment == down % alignment == 0
    assert down <= value <= up
    assert up - down == (0 if value % alignment == 0 else alignment)


@pytest.mark.parametrize("alignment", [0, -4096, 3, 0x1800])
def test_an_alignment_is_a_power_of_two(alignment: int) -> None:
    assert not is_power_of_two(alignment)
    for align in (align_up, align_down):
        with pytest.raises(AssertionError):
            align(1, alignment)


def test_a_range_moves_without_changing_its_size() -> None:
    where = GpaRange(Gpa(0x1000), 0x20)
    assert str(where.moved(0x500)) == "[0x1500, 0x1520)"
    assert where.moved(0) == where
    with pytest.raises(AddressError):
        where.moved(GPA_LIMIT)


@given(small_ranges, small_ranges)
def test_overlap_and_containment_are_those_of_the_bytes(one: GpaRange, other: GpaRange) -> None:
    assert one.overlaps(other) == bool(covered(one) & covered(other))
    assert one.contains(other) == (covered(other) <= covered(one))


@given(small_ranges, st.lists(small_ranges, max_size=5))
def test_minus_leaves_exactly_the_bytes_that_no_other_range_has(
    whole: GpaRange, others: list[GpaRange]
) -> None:
    left = whole.minus(others)
    expected = covered(whole).difference(*map(covered, others))
    assert set().union(*map(covered, left)) == expected
    assert sum(piece.size for piece in left) == len(expected)
    assert list(left) == sorted(left)


@given(st.lists(small_ranges, max_size=6))
def test_first_overlap_finds_two_that_share_a_byte_if_there_are_any(ranges: list[GpaRange]) -> None:
    found = first_overlap(ranges)
    disjoint = sum(r.size for r in ranges) == len(set().union(*map(covered, ranges)))
    assert (found is None) == disjoint
    if found is not None:
        assert found[0].overlaps(found[1])
        assert set(found) <= set(ranges)


@given(gpa_ranges(limit=9 * PAGE))
def test_whole_pages_inside(where: GpaRange) -> None:
    inside = where.pages_inside()
    if inside is None:
        assert where.size < 2 * PAGE
    else:
        assert where.contains(inside)
        assert inside.start % PAGE == inside.end % PAGE == 0
        assert where.size - inside.size < 2 * PAGE
