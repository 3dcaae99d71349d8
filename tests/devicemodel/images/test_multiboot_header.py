from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.images.elf import Segment
from devicemodel.images.multiboot_header import (
    MultibootHeader,
    by_addresses,
    find_header,
    multiboot_2_offset,
)
from handoff.addresses import FOUR_GIB, Gpa, GpaRange
from handoff.errors import LayoutError
from tests.builders import noise, outcome

BODY = noise(0x3000, 41)


def header(flags: int, *more: int) -> bytes:
    return struct.pack(
        f"<{3 + len(more)}I", 0x1BADB002, flags, -(0x1BADB002 + flags) % FOUR_GIB, *more
    )


def file_with(content: bytes, at: int = 0x40, size: int = 0x3000) -> bytes:
    return BODY[:at] + content + BODY[at + len(content) : size]


@dataclass(frozen=True)
class Kludge:
    """The address fields, of a header at 0x40 in a file that is loaded from 0x20 on."""

    header_addr: int = 0x100020
    load_addr: int = 0x100000
    load_end_addr: int = 0x102000
    bss_end_addr: int = 0x105000
    entry_addr: int = 0x100040

    def file(self, at: int = 0x40) -> bytes:
        fields = (self.header_addr, self.load_addr, self.load_end_addr)
        return file_with(header(0x10003, *fields, self.bss_end_addr, self.entry_addr), at)


def loaded(file: bytes) -> tuple[Segment, Gpa]:
    found = find_header(memoryview(file))
    assert found is not None
    return by_addresses(found, memoryview(file))


@pytest.mark.parametrize("at", [0, 4, 0x88, 8192 - 12])
def test_a_header_is_found_on_every_fourth_byte_of_the_first_8_kib(at: int) -> None:
    assert find_header(memoryview(file_with(header(3), at))) == MultibootHeader(at, 3, None)


@pytest.mark.parametrize("at", [2, 8192 - 8, 8192])
def test_elsewhere_it_is_none(at: int) -> None:
    assert find_header(memoryview(file_with(header(3), at))) is None


def test_the_magic_alone_is_none() -> None:
    wrong = header(3)[:8] + b"\0\0\0\0"
    right = header(0)
    file = file_with(wrong + right)
    assert find_header(memoryview(file)) == MultibootHeader(0x4C, 0, None)


@pytest.mark.parametrize("flags", [4, 8, 0x8000, 0x10004, 0xFFFF])
def test_a_demand_that_is_not_met_is_refused(flags: int) -> None:
    with pytest.raises(LayoutError) as refused:
        find_header(memoryview(file_with(header(flags))))
    assert (refused.value.field, refused.value.offset) == ("kernel multiboot flags", 0x44)
    assert f"bits {flags & 0xFFFC:#x}" in refused.value.remedy
    assert ("video mode" in refused.value.remedy) == bool(flags & 4)


@pytest.mark.parametrize("flags", [0x20003, 0xFFFE0003])
def test_an_unknown_wish_is_passed_over(flags: int) -> None:
    assert find_header(memoryview(file_with(header(flags)))) is not None


def test_address_fields_say_what_is_loaded() -> None:
    segment, entry = loaded(Kludge().file())
    assert segment.range == GpaRange.between(0x100000, 0x105000)
    assert bytes(segment.content) == Kludge().file()[0x20 : 0x20 + 0x2000]
    assert entry == 0x100040


def test_without_ends_all_of_the_file_is_loaded() -> None:
    segment, _ = loaded(Kludge(load_end_addr=0, bss_end_addr=0).file())
    assert segment.range == GpaRange.between(0x100000, 0x100000 + 0x3000 - 0x20)


@pytest.mark.parametrize(
    ("kludge", "field"),
    [
        (Kludge(header_addr=0xFFFFF), "header_addr"),
        (Kludge(header_addr=0x100041), "header_addr"),  # would start in front of the file
        (Kludge(header_addr=0), "header_addr"),
        (Kludge(load_end_addr=0x100000), "load_end_addr"),
        (Kludge(load_end_addr=1), "load_end_addr"),
        (Kludge(load_end_addr=0x102FE1), "load_end_addr"),  # the file has 0x2fe0 bytes
        (Kludge(load_end_addr=0xFFFFFFFF), "load_end_addr"),
        (Kludge(bss_end_addr=0x101FFF), "bss_end_addr"),
        (Kludge(bss_end_addr=1), "bss_end_addr"),
        (Kludge(entry_addr=0x105000), "entry_addr"),
        (Kludge(entry_addr=0xFFFFF), "entry_addr"),
        (Kludge(0xFFFFF020, 0xFFFFF000, 0, 0, 0xFFFFF000), "load_addr"),
    ],
)
def test_an_address_out_of_range_is_refused_by_field(kludge: Kludge, field: str) -> None:
    with pytest.raises(LayoutError) as refused:
        loaded(kludge.file())
    assert refused.value.field == f"kernel multiboot {field}"
    names = ("header_addr", "load_addr", "load_end_addr", "bss_end_addr", "entry_addr")
    assert refused.value.offset == 0x4C + 4 * names.index(field)
    assert refused.value.found == f"{getattr(kludge, field):#x}"


def test_address_fields_must_be_in_the_first_8_kib_too() -> None:
    assert find_header(memoryview(Kludge().file(8192 - 32))) is not None
    with pytest.raises(LayoutError, match="cut off after 0x1c bytes"):
        find_header(memoryview(Kludge().file(8192 - 28)))


def test_multiboot_2_is_told_from_nothing() -> None:
    second = struct.pack("<IIII", 0xE85250D6, 0, 0x18, -(0xE85250D6 + 0x18) % FOUR_GIB)
    assert multiboot_2_offset(memoryview(file_with(second, 0x98))) == 0x98
    assert multiboot_2_offset(memoryview(file_with(second, 0x9C))) is None
    assert multiboot_2_offset(memoryview(file_with(second[:12] + b"wrong", 0x98))) is None


numbers = st.integers(0, FOUR_GIB - 1) | st.integers(0xFFFF0, 0x106000)


@given(st.builds(Kludge, numbers, numbers, numbers | st.just(0), numbers | st.just(0), numbers))
def test_any_address_fields_give_a_segment_below_4_gib_or_a_refusal(kludge: Kludge) -> None:
    found = outcome(lambda: loaded(kludge.file()), LayoutError)
    if isinstance(found, LayoutError):
        assert str(found).isprintable()
        return
    segment, entry = found
    assert 1 <= len(segment.content) <= segment.range.size
    assert segment.range.start <= entry < segment.range.end <= FOUR_GIB
