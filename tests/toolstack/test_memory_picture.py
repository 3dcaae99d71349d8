"""The memory map as a person reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import GIB, KIB, MIB, Gpa, GpaRange, size_text
from handoff.descriptor import Role
from handoff.platforms import Platform
from handoff.report import PlacedRange, Report, When
from tests.builders import poisoned_guest
from toolstack.memory_picture import Row, after, before, lines


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (1, "1 B"),
        (1023, "1023 B"),
        (KIB, "1 KiB"),
        (1536, "1.5 KiB"),
        (MIB - 1, "1024 KiB"),
        (MIB, "1 MiB"),
        (14_186_432, "13.5 MiB"),
        (512 * MIB, "512 MiB"),
        (5 * GIB + GIB // 2, "5.5 GiB"),
        (4096 * GIB, "4096 GiB"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert size_text(size) == text


@given(size=st.integers(1, 1 << 52))
def test_a_size_is_told_to_a_twentieth_of_its_unit(size: int) -> None:
    number, unit = size_text(size).split(" ")
    scale = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}[unit]
    assert abs(float(number) * scale - size) <= scale / 20


def test_before_tells_reservations_and_images_in_order_of_address() -> None:
    with poisoned_guest(Platform.XEN_HVM) as guest:
        image = guest.stage(Role.KERNEL, b"content", 0x1000000)
        rows = before(guest.descriptor([image]))
    assert [row.range for row in rows] == sorted(row.range for row in rows)
    (kernel,) = (row for row in rows if row.what == "kernel")
    assert (kernel.when, kernel.note) == ("staged", f"digest {image.digest.hex()[:8]}")
    when = {row.note: row.when for row in rows if row.what == "reserved"}
    assert when["hvmloader and its modules"] == "until BEV"
    assert when["EBDA, VGA, option ROMs"] == "always"


def test_after_tells_when_the_bytes_are_there_and_why() -> None:
    placed = (
        PlacedRange("kernel", GpaRange(Gpa(0x100000), 0x800), When.BEV, "not relocatable"),
        PlacedRange("initrd", GpaRange(Gpa(0x3000000), 0x10), When.NOW, "where it was staged"),
        PlacedRange("setup", GpaRange(Gpa(0x10000), 0x10), When.RUN, "heap"),
    )
    report = Report("linux", placed, (), GpaRange(Gpa(0xC8000), 0x200), 0)
    assert [(row.when, row.what, row.note) for row in after(report)] == [
        ("kept free", "setup", "heap"),
        ("at BEV", "kernel", "not relocatable"),
        ("in place", "initrd", "where it was staged"),
    ]


def test_lines_are_aligned() -> None:
    rows = (
        Row(GpaRange(Gpa(0x7000), 0x89000), "until BEV", "firmware"),
        Row(GpaRange(Gpa(0x1_0000_0000), 2 * GIB), "now", "RAM", "free"),
    )
    assert lines(rows) == (
        "0x000007000-0x000090000   548 KiB  until BEV  firmware",
        "0x100000000-0x180000000     2 GiB  now        RAM       free",
    )
    assert lines(()) == ()
