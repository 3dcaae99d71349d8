from __future__ import annotations

import lzma
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.images.compression import Damaged, Format, format_of, unpack
from tests.builders import noise, outcome
from tests.devicemodel.images.packing import packed

every_format = pytest.mark.parametrize("format", Format, ids=lambda format: format.value)
CONTENT = noise(0x5000, 21) + bytes(0x9000) + noise(0x300, 22) * 20
SMALL = b"a kernel " * 40


@every_format
def test_what_was_packed_comes_back(format: Format) -> None:
    stream = packed(CONTENT, format)
    assert format_of(stream) is format
    unpacked = unpack(memoryview(stream), format, len(CONTENT))
    assert bytes(unpacked) == CONTENT
    assert unpacked.readonly


@every_format
def test_more_than_one_piece_comes_back(format: Format) -> None:
    """Longer than what is asked of a library at a time, and for LZ4 than one chunk."""
    content = noise(0x300000, 23) + bytes(0x700000)
    assert bytes(unpack(memoryview(packed(content, format)), format, len(content))) == content


@every_format
def test_a_stream_of_another_length_than_it_says_is_refused(format: Format) -> None:
    stream = memoryview(packed(CONTENT, format))
    for size, said in ((len(CONTENT) - 1, "behind|block|damaged"), (len(CONTENT) + 1, "ends|cut")):
        with pytest.raises(Damaged, match=said):
            unpack(stream, format, size)


@every_format
def test_a_stream_cut_anywhere_is_refused(format: Format) -> None:
    stream = packed(SMALL, format)
    for size in range(len(stream)):
        with pytest.raises(Damaged):
            unpack(memoryview(stream[:size]), format, len(SMALL))


@every_format
def test_a_bomb_stops_at_the_size_it_told(format: Format) -> None:
    stream = packed(bytes(64 << 20), format)
    with pytest.raises(Damaged):
        unpack(memoryview(stream), format, 0x1000)


@pytest.mark.parametrize(
    "head",
    [b"", b"\x7fELF", b"MZ\0\0\0\0\0\0", b"PK\x03\x04", b"\x28\xb5\x2f", b"\x04\x22\x4d\x18"],
)
def test_anything_else_is_of_no_format(head: bytes) -> None:
    assert format_of(head) is None


def test_an_xz_dictionary_larger_than_kernels_have_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0}]
    stream = bytearray(lzma.compress(SMALL, lzma.FORMAT_XZ, filters=filters))
    # The block header, behind 12 bytes of the stream's: size, flags, filter 0x21, 1 byte of
    # properties, which is the dictionary's size; a checksum ends it.
    assert stream[14:16] == b"\x21\x01"
    stream[16] = 34  # 512 MiB
    header = bytes(stream[12 : 12 + stream[12] * 4])
    struct.pack_into("<I", stream, 12 + len(header), zlib.crc32(header))
    with pytest.raises(Damaged, match="Memory usage limit exceeded"):
        unpack(memoryview(stream), Format.XZ, len(SMALL))


def test_a_zstd_window_larger_than_kernels_have_is_refused() -> None:
    stream = bytearray(packed(SMALL, Format.ZSTD))
    assert stream[5] == (27 - 10) << 3  # window descriptor: 128 MiB
    stream[5] = (28 - 10) << 3
    with pytest.raises(Damaged, match="requires too much memory"):
        unpack(memoryview(stream), Format.ZSTD, len(SMALL))


changes = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), min_size=1, max_size=4)


@given(st.sampled_from(Format), changes, st.integers(0, 2000))
def test_any_stream_gives_as_many_bytes_as_it_said_or_is_damaged(
    format: Format, edits: list[tuple[int, int]], size: int
) -> None:
    stream = bytearray(_SMALL_STREAMS[format])
    for at, change in edits:
        stream[at % len(stream)] ^= change
    found = outcome(lambda: unpack(memoryview(bytes(stream)), format, size or 1), Damaged)
    if not isinstance(found, Damaged):
        assert len(found) == (size or 1)


_SMALL_STREAMS = {format: packed(SMALL, format) for format in Format}
