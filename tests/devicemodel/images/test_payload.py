from __future__ import annotations

import struct
from collections.abc import Mapping

import pytest

from devicemodel.images.compression import Format
from devicemodel.images.payload import (
    UNPACKED_MAX_BYTES,
    Unpacked,
    unpack_bzimage,
    unpack_gzip,
)
from devicemodel.images.setup_header import HEAD_BYTES, read_setup_header
from handoff.addresses import MIB
from handoff.errors import LayoutError
from tests.builders import RELOCATABLE
from tests.devicemodel.images.elves import PVH_ELF, bzimage, gzip_payload
from tests.devicemodel.images.packing import packed, payload

ELF = PVH_ELF.build()
START = RELOCATABLE.setup_bytes + 0x400


def open_bzimage(file: bytes, low_ram: int = 64 * MIB) -> Unpacked:
    header = read_setup_header(file[:HEAD_BYTES], len(file))
    return unpack_bzimage(memoryview(file), header, low_ram)


def refusal(file: bytes, low_ram: int = 64 * MIB) -> LayoutError:
    with pytest.raises(LayoutError) as refused:
        open_bzimage(file, low_ram)
    return refused.value


@pytest.mark.parametrize("format", Format, ids=lambda format: format.value)
def test_a_kernel_packed_in_any_format_is_opened(format: Format) -> None:
    found = open_bzimage(bzimage(payload(ELF, format)))
    assert bytes(found.data) == ELF
    assert found.packed == f" (bzImage, {format.value})"


def test_a_kernel_that_does_not_tell_its_init_size_is_bounded_by_ram() -> None:
    file = bzimage(gzip_payload(ELF), version=0x208)
    assert bytes(open_bzimage(file).data) == ELF
    assert "RAM below 4 GiB" in refusal(file, len(ELF) - 1).remedy


@pytest.mark.parametrize("version", [0x207, 0x202])
def test_a_kernel_older_than_payloads_is_refused(version: int) -> None:
    refused = refusal(bzimage(gzip_payload(ELF), version=version))
    assert (refused.field, refused.offset) == ("kernel setup_header.version", 0x206)


@pytest.mark.parametrize(
    "fields",
    [
        {"payload_length": 0, "payload_offset": 0},
        {"payload_length": 4},
        {"payload_length": 1 << 20},
        {"payload_length": 0xFFFFFFFF},
        {"payload_offset": 0xFFFFFFFF},
        {"payload_offset": 0xFFFFFF00, "payload_length": 0x200},  # would wrap in 32 bits
    ],
)
def test_a_payload_that_is_not_in_the_file_is_refused(fields: Mapping[str, int]) -> None:
    refused = refusal(bzimage(gzip_payload(ELF), **fields))
    assert (refused.field, refused.offset) == ("kernel setup_header.payload_length", 0x24C)


def test_a_payload_of_no_known_format_is_refused_with_its_first_bytes() -> None:
    refused = refusal(bzimage(b"PK\x03\x04" + bytes(60)))
    assert (refused.offset, refused.found) == (START, "504b030400000000")


@pytest.mark.parametrize("size", [0, 64 * MIB + 1, 0xFFFFFFFF])
def test_a_bomb_is_refused_by_the_size_it_tells(size: int) -> None:
    stream = packed(ELF, Format.ZSTD) + struct.pack("<I", size)
    refused = refusal(bzimage(stream, init_size=0xFFFFFFFF))
    assert (refused.field, refused.offset) == (
        "kernel zstd unpacked size",
        START + len(stream) - 4,
    )
    assert "1 to 0x4000000, the end of the guest's RAM below 4 GiB" in refused.remedy


def test_init_size_and_a_fixed_bound_hold_as_well() -> None:
    stream = payload(ELF, Format.XZ)
    assert "0x1000, setup_header.init_size" in str(refusal(bzimage(stream, init_size=0x1000)))
    large = packed(ELF, Format.XZ) + struct.pack("<I", UNPACKED_MAX_BYTES + 1)
    refused = refusal(bzimage(large, init_size=0xFFFFFFFF), 4 << 30)
    assert "0x40000000, the most that is unpacked" in refused.remedy


@pytest.mark.parametrize("format", Format, ids=lambda format: format.value)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_size_that_lies_is_refused(format: Format, change: int) -> None:
    stream = bytearray(payload(ELF, format))
    struct.pack_into("<I", stream, len(stream) - 4, len(ELF) + change)
    refused = refusal(bzimage(bytes(stream)))
    assert refused.field == f"kernel {format.value} stream"


def test_a_damaged_payload_is_refused_where_it_starts() -> None:
    stream = bytearray(gzip_payload(ELF))
    stream[len(stream) // 2] ^= 0x40
    refused = refusal(bzimage(bytes(stream)))
    assert (refused.field, refused.offset) == ("kernel gzip stream", START)
    assert "copy the kernel again" in refused.remedy


def test_a_file_that_is_gziped_as_a_whole_is_opened() -> None:
    found = unpack_gzip(memoryview(gzip_payload(ELF)), 64 * MIB)
    assert (bytes(found.data), found.packed) == (ELF, " (gzip)")


def test_a_gziped_file_is_bounded_likewise() -> None:
    file = memoryview(gzip_payload(ELF))
    with pytest.raises(LayoutError, match="gzip unpacked size"):
        unpack_gzip(file, len(ELF) - 1)
    with pytest.raises(LayoutError, match="cut short"):
        unpack_gzip(file[:4], 64 * MIB)
    with pytest.raises(LayoutError, match=r"gzip unpacked size|gzip stream"):
        unpack_gzip(file[:-1], 64 * MIB)
