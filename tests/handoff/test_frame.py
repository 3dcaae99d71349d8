from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.crc32c import crc32c
from handoff.errors import DescriptorRefused
from handoff.frame import (
    FRAME_MAX_BYTES,
    GENERATION_MAX,
    Frame,
    FrameKind,
    decode_frame,
    encode_frame,
)
from handoff.layouts.frame import HEADER_BYTES
from tests.builders import outcome
from tests.strategies import generations

GOLDEN = bytes.fromhex(
    "444952424f4f541a"  # magic "DIRBOOT", 1a
    "0100"  # version 1
    "0200"  # kind 2, a report
    "00000000"  # flags
    "0807060504030201"  # generation 0x0102030405060708
    "05000000"  # length
    "0c724933"  # crc32c 0x3349720c, over all of it with this field zero
    "a1b2c3d4e5"  # payload
)
FRAME = Frame(FrameKind.REPORT, 0x0102030405060708, bytes.fromhex("a1b2c3d4e5"))

frames = st.builds(Frame, st.sampled_from(FrameKind), generations, st.binary(max_size=200))


def summed(frame: bytes) -> bytes:
    """`frame` with the checksum its bytes ask for, so that only the mistake meant shows."""
    checksum = crc32c(frame[:28] + bytes(4) + frame[32:])
    return frame[:28] + checksum.to_bytes(4, "little") + frame[32:]


def test_golden_bytes() -> None:
    assert encode_frame(FRAME) == GOLDEN
    assert decode_frame(GOLDEN, FrameKind.REPORT) == FRAME


@given(frames)
def test_a_frame_comes_back_as_it_was_sent(frame: Frame) -> None:
    assert decode_frame(encode_frame(frame), frame.kind) == frame


def test_the_longest_frame_comes_back_and_none_is_longer() -> None:
    payload = bytes(FRAME_MAX_BYTES - HEADER_BYTES)
    data = encode_frame(Frame(FrameKind.DESCRIPTOR, GENERATION_MAX, payload))
    assert len(data) == FRAME_MAX_BYTES
    assert decode_frame(data, FrameKind.DESCRIPTOR).payload == payload
    with pytest.raises(AssertionError):
        Frame(FrameKind.DESCRIPTOR, 1, payload + b"x")
    with pytest.raises(DescriptorRefused, match="32769 bytes, the limit is 32768"):
        decode_frame(data + b"x", FrameKind.DESCRIPTOR)


@pytest.mark.parametrize("generation", [0, -1, GENERATION_MAX + 1])
def test_generations_count_from_1(generation: int) -> None:
    with pytest.raises(AssertionError):
        Frame(FrameKind.REPORT, generation, b"")


@pytest.mark.parametrize("size", range(len(GOLDEN)))
def test_a_frame_cut_anywhere_is_refused(size: int) -> None:
    with pytest.raises(DescriptorRefused, match=r"frame|frame\.length"):
        decode_frame(GOLDEN[:size], FrameKind.REPORT)


@given(st.binary(min_size=1, max_size=40))
def test_a_frame_with_a_tail_is_refused(tail: bytes) -> None:
    with pytest.raises(DescriptorRefused, match=r"frame\.length"):
        decode_frame(GOLDEN + tail, FrameKind.REPORT)


@pytest.mark.parametrize("bit", range(len(GOLDEN) * 8))
def test_a_frame_with_any_bit_flipped_is_refused(bit: int) -> None:
    damaged = bytearray(GOLDEN)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DescriptorRefused, match=r"^frame\."):
        decode_frame(bytes(damaged), FrameKind.REPORT)


@pytest.mark.parametrize(
    ("offset", "patch", "refusal"),
    [
        (0, b"DIRBOOT\x1b", "frame.magic: is 444952424f4f541b, must be 444952424f4f541a"),
        (8, b"\x02\x00", "frame.version: is 2, must be 1"),
        (10, b"\x01\x00", "frame.kind: is 1, must be 2"),
        (10, b"\x03\x00", "frame.kind: is 3, must be 2"),
        (12, b"\x00\x00\x00\x80", "frame.flags: is 0x80000000, must be 0"),
        (16, bytes(8), f"frame.generation: is 0, must be 1..{2**63 - 1}"),
        (16, b"\xff" * 8, f"frame.generation: is {2**64 - 1}, must be 1..{2**63 - 1}"),
        (24, b"\x06", "frame.length: is 6, must be 5"),
    ],
)
def test_each_field_is_refused_by_name(offset: int, patch: bytes, refusal: str) -> None:
    wrong = summed(GOLDEN[:offset] + patch + GOLDEN[offset + len(patch) :])
    with pytest.raises(DescriptorRefused) as refused:
        decode_frame(wrong, FrameKind.REPORT)
    assert str(refused.value) == refusal


def test_a_wrong_checksum_is_refused_with_both() -> None:
    with pytest.raises(DescriptorRefused, match=r"crc32c: is 0x3349720d, must be 0x3349720c"):
        decode_frame(GOLDEN[:28] + b"\x0d" + GOLDEN[29:], FrameKind.REPORT)


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: GOLDEN[:10] + tail))
def test_any_bytes_give_a_frame_or_a_refusal(data: bytes) -> None:
    candidate = summed(data) if len(data) >= HEADER_BYTES else data
    frame = outcome(lambda: decode_frame(candidate, FrameKind.REPORT), DescriptorRefused)
    assert isinstance(frame, DescriptorRefused) or encode_frame(frame) == candidate
