from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import FOUR_GIB, GpaRange
from handoff.e820 import E820Entry, E820Map, E820Type
from tests.strategies import e820_maps


def entry(start: int, end: int, type_: E820Type = E820Type.RAM) -> E820Entry:
    return E820Entry(GpaRange.between(start, end), type_)


def test_types_have_the_numbers_of_the_acpi_specification() -> None:
    assert {type_.name: int(type_) for type_ in E820Type} == {
        "RAM": 1,
        "RESERVED": 2,
        "ACPI": 3,
        "NVS": 4,
        "UNUSABLE": 5,
        "PMEM": 7,
    }


def test_entries_must_ascend() -> None:
    with pytest.raises(ValueError, match="ascending"):
        E820Map((entry(0x2000, 0x3000), entry(0, 0x1000)))


def test_entries_must_not_overlap() -> None:
    with pytest.raises(ValueError, match=r"\[0x0, 0x2000\) and \[0x1000, 0x3000\) overlap"):
        E820Map((entry(0, 0x2000), entry(0x1000, 0x3000, E820Type.RESERVED)))


@pytest.mark.parametrize(
    "entries",
    [
        (),
        (entry(0, 0x1000, E820Type.RESERVED),),
        (entry(FOUR_GIB, FOUR_GIB + 0x1000),),
    ],
)
def test_a_guest_without_low_ram_is_refused(entries: tuple[E820Entry, ...]) -> None:
    with pytest.raises(ValueError, match="no RAM below 4 GiB"):
        E820Map(entries)


def test_of_sorts() -> None:
    low, high = entry(0, 0x1000), entry(0x1000, 0x2000, E820Type.NVS)
    assert E820Map.of([high, low]) == E820Map((low, high))


def test_ram_is_counted_and_listed_without_the_rest() -> None:
    map_ = E820Map.of(
        [
            entry(0, 0x9FC00),
            entry(0x9FC00, 0xA0000, E820Type.RESERVED),
            entry(0x100000, 0x8000000),
            entry(0xFC000000, 0x100000000, E820Type.ACPI),
            entry(FOUR_GIB, FOUR_GIB + 0x10000000),
        ]
    )
    assert [str(ram) for ram in map_.ram()] == [
        "[0x0, 0x9fc00)",
        "[0x100000, 0x8000000)",
        "[0x100000000, 0x110000000)",
    ]
    assert map_.low_ram_end() == 0x8000000


def test_low_ram_that_runs_on_above_4_gib_still_ends_at_4_gib() -> None:
    assert E820Map((entry(0x100000, FOUR_GIB + 0x1000),)).low_ram_end() == FOUR_GIB


@given(e820_maps())
def test_low_ram_ends_where_the_last_ram_below_4_gib_does(map_: E820Map) -> None:
    below = [min(ram.end, FOUR_GIB) for ram in map_.ram() if ram.start < FOUR_GIB]
    assert map_.low_ram_end() == max(below)


@given(e820_maps(), st.randoms())
def test_a_map_does_not_depend_on_the_order_it_was_told_in(map_: E820Map, random: object) -> None:
    shuffled = list(map_.entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert E820Map.of(shuffled) == map_


def test_an_entry_reads_as_range_and_type() -> None:
    assert str(entry(0, 0x1000, E820Type.NVS)) == "[0x0, 0x1000) nvs"
