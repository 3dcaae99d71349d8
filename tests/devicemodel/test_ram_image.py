from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.ram_image import RamImage
from handoff.addresses import FOUR_GIB, Gpa, GpaRange
from handoff.guest_ram import MemfdRam
from tests.builders import noise, small_ram, two_regions

CONTENT = noise(0x1234, 1)
WHERE = GpaRange(Gpa(FOUR_GIB + 0x777), len(CONTENT))


@pytest.fixture(scope="module")
def ram() -> Iterator[MemfdRam]:
    with small_ram(two_regions(1, 3)) as ram:
        ram.write(WHERE.start, CONTENT)
        yield ram


steps = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 0x2000)),
    st.tuples(st.just("set"), st.integers(0, 0x2000)),
    st.tuples(st.just("cur"), st.integers(-0x100, 0x100)),
    st.tuples(st.just("end"), st.integers(-0x1234, 0x100)),
)


@given(steps=st.lists(steps, max_size=12))
def test_it_reads_and_seeks_as_a_file_of_the_same_bytes(
    ram: MemfdRam, steps: list[tuple[str, int]]
) -> None:
    image, file = RamImage(ram, WHERE), io.BytesIO(CONTENT)
    for what, number in steps:
        if what == "read":
            assert image.read(number) == file.read(number)
        elif what != "cur" or file.tell() + number >= 0:
            whence = {"set": io.SEEK_SET, "cur": io.SEEK_CUR, "end": io.SEEK_END}[what]
            assert image.seek(number, whence) == file.seek(number, whence)
        assert image.tell() == file.tell()


def test_it_can_be_read_through_a_buffer_like_any_file(ram: MemfdRam) -> None:
    assert io.BufferedReader(RamImage(ram, WHERE), 100).read() == CONTENT


def test_there_is_nothing_before_its_start(ram: MemfdRam) -> None:
    image = RamImage(ram, WHERE)
    with pytest.raises(ValueError, match="seek to -1, before the start"):
        image.seek(-1)
    assert image.tell() == 0


def test_it_can_be_read_and_sought_but_is_not_writable(ram: MemfdRam) -> None:
    image = RamImage(ram, WHERE)
    assert image.readable()
    assert image.seekable()
    assert not image.writable()
