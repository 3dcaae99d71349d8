from __future__ import annotations

import io
import os
from typing import Any

import pytest

from devicemodel.images.source import Image, host_image
from devicemodel.ram_image import RamImage
from handoff.addresses import FOUR_GIB, Gpa, GpaRange
from handoff.descriptor import Role
from handoff.errors import ImageError
from tests.builders import host_file, noise, small_ram, two_regions


class Dripping(io.BytesIO):
    """A file that gives at most three bytes a read, as a pipe-backed one may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(3, size if size is not None and size >= 0 else 3))


class DrippingInto(io.BytesIO):
    """The same for reads into a buffer."""

    def readinto(self, buffer: Any, /) -> int:
        return super().readinto(memoryview(buffer)[:3])


@pytest.mark.parametrize(
    ("offset", "size", "expected"),
    [(0, 10, b"0123456789"), (2, 7, b"2345678"), (8, 9, b"89"), (10, 1, b""), (4, 0, b"")],
)
def test_a_read_is_whole_up_to_the_end_of_the_file(offset: int, size: int, expected: bytes) -> None:
    image = Image(Role.KERNEL, Dripping(b"0123456789"), 10)  # type: ignore[arg-type]
    assert image.read_at(offset, size) == expected


def test_bytes_of_an_image_in_ram_have_an_address() -> None:
    with small_ram(two_regions(1, 1)) as ram:
        where = GpaRange(Gpa(FOUR_GIB + 0x10), 0x20)
        image = Image(Role.KERNEL, RamImage(ram, where), where.size)
        assert image.whole().location == where
        ram.write(where.start, bytes(range(0x20)))
        assert image.read_at(3, 2) == b"\x03\x04"


def test_bytes_of_a_host_file_have_none() -> None:
    with host_file(b"kernel") as file:
        image = host_image(Role.KERNEL, file)
        assert image.size == 6
        assert image.whole().location is None


def test_a_private_copy_is_what_was_read_once_whatever_becomes_of_the_image() -> None:
    content = noise(0x2345, 61)
    with small_ram(two_regions(4, 1)) as ram:
        where = GpaRange(Gpa(0x123), len(content))
        ram.write(where.start, content)
        copy = Image(Role.KERNEL, RamImage(ram, where), where.size).private_copy()
        ram.fill(where, 0)
        assert bytes(copy) == content
        assert copy.readonly


def test_a_copy_takes_reads_that_give_less_than_asked() -> None:
    dripping = DrippingInto(b"0123456789")
    assert bytes(Image(Role.KERNEL, dripping, 10).private_copy()) == b"0123456789"  # type: ignore[arg-type]


def test_an_empty_file_and_one_without_a_size_are_refused() -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    with host_file(b"") as empty, io.FileIO(read_end) as pipe:
        for file in (empty, pipe):
            with pytest.raises(ImageError, match="ramdisk is empty or not a regular file"):
                host_image(Role.RAMDISK, file)
