from __future__ import annotations

import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.images.compression.lzo import unpack_lzo1x, unpack_lzop
from devicemodel.images.compression.output import Damaged, Output
from tests.builders import noise, outcome

END = b"\x11\0\0"


def unpacked(stream: bytes, size: int) -> bytes:
    output = Output(size)
    unpack_lzop(memoryview(stream), output)
    return bytes(output.data[: output.filled])


def lzop(content: bytes, *options: str) -> bytes:
    """What the program of that name makes."""
    done = subprocess.run(
        ("lzop", *options), input=content, stdout=subprocess.PIPE, check=True, timeout=60
    )
    return done.stdout


@pytest.mark.parametrize(
    ("stream", "plain"),
    [
        # Each kind of instruction, by lzo.rst; a first byte above 17 is a literal run.
        (b"\x15abcd" + END, b"abcd"),
        (b"\x12a" + END, b"a"),
        (b"\x01abcd" + END, b"abcd"),  # 0000LLLL: 3 + L literals
        (b"\x00\x01" + b"x" * 19 + END, b"x" * 19),  # long: 15 + 1 + 3
        (b"\x00\x00\x01" + b"x" * 274 + END, b"x" * 274),  # longer: 255 more
        (b"\x15abcd" + b"\x40\x00" + END, b"abcdddd"),  # 01LDDDSS: 3 bytes from 1 back
        (b"\x15abcd" + b"\x6d\x00z" + END, b"abcd" + b"abcd" + b"z"),  # L=1, D=3, S=1
        (b"\x15abcd" + b"\xec\x00" + END, b"abcd" * 3),  # 1LLDDDSS: 8 from 4 back
        (b"\x15abcd" + b"\x21\x0e\x00pq" + END, b"abcd" + b"abc" + b"pq"),  # 001LLLLL, S=2
        (b"\x15abcd" + b"\x20\x01\x00\x00" + END, b"abcd" + b"d" * 34),  # long: 31 + 1 + 2
        (b"\x15abcd" + b"\x41\x00q" + b"\x00\x00" + END, b"abcddddqqq"),  # state 1: 2 bytes
    ],
)
def test_each_instruction_does_what_the_format_says(stream: bytes, plain: bytes) -> None:
    assert unpack_lzo1x(stream, len(plain)) == plain


def test_far_matches_reach_behind_16_kib_and_short_ones_behind_2_kib() -> None:
    head = noise(0x5000, 31)
    run = b"\x00" + bytes((len(head) - 18) // 255) + bytes([(len(head) - 18) % 255]) + head
    # 0001HLLL after a literal run: 3 bytes from 0x4000 + 1 back.
    far = unpack_lzo1x(run + b"\x11\x04\x00" + END, len(head) + 3)
    assert far == head + head[-0x4001 : -0x4001 + 3]
    # 0000DDSS in state 4: 3 bytes from 0x801 back.
    near = unpack_lzo1x(run + b"\x00\x00" + END, len(head) + 3)
    assert near == head + head[-0x801 : -0x801 + 3]


@pytest.mark.parametrize("options", [("-1",), ("-9",), ("-1", "-F"), ("-6", "--crc32")])
def test_what_lzop_makes_comes_back(options: tuple[str, ...]) -> None:
    content = noise(0x1000, 32) + bytes(0x30000) + noise(0x50000, 33) + b"text " * 9000
    assert unpacked(lzop(content, *options), len(content)) == content


def test_headers_of_other_versions_and_with_an_extra_field_are_passed_over() -> None:
    content = b"text " * 100
    modern = lzop(content, "-1")
    magic, version, rest = modern[:9], modern[9:11], modern[15:]
    assert version >= b"\x09\x40"
    method, flags, times, tail = rest[:1], rest[2:6], rest[6:18], rest[18:]
    # Before 0x0940: no version needed, no level, a 32-bit time.
    old = magic + b"\x09\x30" + modern[11:13] + method + flags + times[:8] + tail
    assert unpacked(old, len(content)) == content
    more = (int.from_bytes(flags, "big") | 0x40).to_bytes(4, "big")
    name_and_checksum, blocks = tail[:5], tail[5:]
    extra = (3).to_bytes(4, "big") + b"abc" + b"sum!"
    extended = modern[:15] + rest[:2] + more + times + name_and_checksum + extra + blocks
    assert unpacked(extended, len(content)) == content


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (b"\x15abc", "cut short"),
        (b"\x15abcd", "cut short"),
        (b"\x15abcd\x50\x00" + END, "match reaches out"),  # 5 back of 4
        (b"\x15abcd\x20" + bytes(300) + b"\x01\x00\x00" + END, "match reaches out"),  # a bomb
        (b"\x12a" + END, "unpacks to 0x1 bytes, says 0x4"),
        (b"", "cut short"),
    ],
)
def test_a_bad_block_is_damaged(stream: bytes, said: str) -> None:
    with pytest.raises(Damaged, match=said):
        unpack_lzo1x(stream, 4)


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [
        (3, b"x", "does not start with"),
        (15, b"\x09", "method is 9"),
        (17, struct.pack(">I", 0x800), "filters"),
        (0x21, b"\xff", "cut short"),
        (0x26 + 4, struct.pack(">I", 1 << 31), "a block of"),
    ],
)
def test_a_bad_lzop_header_is_damaged(offset: int, value: bytes, said: str) -> None:
    stream = bytearray(lzop(b"text " * 100))
    stream[offset : offset + len(value)] = value
    with pytest.raises(Damaged, match=said):
        unpacked(bytes(stream), 500)


@given(st.binary(max_size=60), st.integers(1, 300))
def test_any_block_gives_as_many_bytes_as_it_said_or_is_damaged(stream: bytes, size: int) -> None:
    found = outcome(lambda: unpack_lzo1x(stream, size), Damaged)
    assert isinstance(found, Damaged) or len(found) == size
