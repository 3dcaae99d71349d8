from __future__ import annotations

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import FOUR_GIB, GPA_LIMIT, MIB, Gpa, GpaRange
from handoff.carriers import arguments, base64_chunks, memory
from handoff.carriers.base64_chunks import CHUNK_CHARS, CHUNKS_MAX
from handoff.errors import DescriptorRefused
from handoff.frame import FRAME_MAX_BYTES
from tests.builders import noise, outcome, small_ram, two_regions

frames = st.integers(1, FRAME_MAX_BYTES).map(lambda size: noise(size, size)) | st.binary(min_size=1)


def refusal(chunks: list[bytes]) -> str:
    with pytest.raises(DescriptorRefused) as refused:
        base64_chunks.join(chunks, "direct-boot/frame")
    return str(refused.value)


@given(frames)
def test_a_frame_comes_back_from_its_chunks(frame: bytes) -> None:
    chunks = base64_chunks.split(frame)
    assert base64_chunks.join([chunk.encode() for chunk in chunks], "frame") == frame
    assert all(len(chunk) == CHUNK_CHARS for chunk in chunks[:-1])
    assert 1 <= len(chunks[-1]) <= CHUNK_CHARS
    assert "".join(chunks) == base64.b64encode(frame).decode()


def test_the_longest_frame_takes_the_most_chunks() -> None:
    assert len(base64_chunks.split(bytes(FRAME_MAX_BYTES))) == CHUNKS_MAX == 23


FULL = b"A" * CHUNK_CHARS


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        ([], "direct-boot/frame: 0 chunks, must be 1 to 23"),
        ([FULL] * 24, "direct-boot/frame: 24 chunks, must be 1 to 23"),
        ([b""], "direct-boot/frame/001: 0 characters"),
        ([FULL, b""], "direct-boot/frame/002: 0 characters"),
        ([FULL[1:], b"AAAA"], "direct-boot/frame/001: 1899 characters, must be 1900"),
        ([FULL, FULL + b"A"], "direct-boot/frame/002: 1901 characters, must be 1900"),
        ([b"AAA"], "not base64"),
        ([b"AA\nA"], "not base64"),
        ([b"AA=="], ""),
        ([b"AAA=AAAA"], "not base64"),
        ([b"\xff\xff\xff\xff"], "not base64"),
        ([b"AB=="], "stray bits"),
        ([b"AAF="], "stray bits"),
    ],
)
def test_chunks_that_no_writer_makes_are_refused(chunks: list[bytes], text: str) -> None:
    if text:
        assert text in refusal(chunks)
    else:
        assert base64_chunks.join(chunks, "frame") == b"\0"


@given(st.lists(st.binary(max_size=30), max_size=3))
def test_any_chunks_give_a_frame_or_a_refusal(chunks: list[bytes]) -> None:
    frame = outcome(lambda: base64_chunks.join(chunks, "frame"), DescriptorRefused)
    if isinstance(frame, DescriptorRefused):
        assert frame.path.startswith("frame")
    else:
        assert [chunk.encode() for chunk in base64_chunks.split(frame)] == chunks


@given(frames)
def test_a_frame_comes_back_from_the_argument_list(frame: bytes) -> None:
    words = arguments.to_arguments(frame)
    assert set(words[::2]) == {arguments.OPTION}
    assert arguments.from_chunks(words[1::2]) == frame


@given(st.lists(st.binary(min_size=1, max_size=30).map(os.fsdecode), max_size=3))
def test_any_arguments_give_a_frame_or_a_refusal(chunks: list[str]) -> None:
    frame = outcome(lambda: arguments.from_chunks(chunks), DescriptorRefused)
    if isinstance(frame, DescriptorRefused):
        assert frame.path.startswith("argument -direct-boot-frame")
    else:
        assert arguments.to_arguments(frame)[1::2] == tuple(chunks)


REGIONS = two_regions(0x200000 // 0x1000, 1)


@given(frames)
def test_a_frame_comes_back_from_guest_ram(frame: bytes) -> None:
    with small_ram(REGIONS) as ram:
        where = memory.store(frame, ram)
        assert memory.fetch(ram, where.start, where.size) == frame
        assert GpaRange.between(MIB, 2 * MIB).contains(where)


def test_a_frame_may_lie_at_another_place() -> None:
    with small_ram(REGIONS) as ram:
        assert memory.store(b"frame", ram, FOUR_GIB) == GpaRange(FOUR_GIB, 5)
        assert memory.fetch(ram, FOUR_GIB, 5) == b"frame"


@pytest.mark.parametrize(
    ("at", "size", "path"),
    [
        (memory.KNOWN_LOCATION, 0, "frame-size"),
        (memory.KNOWN_LOCATION, -1, "frame-size"),
        (memory.KNOWN_LOCATION, FRAME_MAX_BYTES + 1, "frame-size"),
        (memory.KNOWN_LOCATION + 1, FRAME_MAX_BYTES, "frame-gpa"),
        (-1, 2, "frame-gpa"),
        (GPA_LIMIT - 1, 2, "frame-gpa"),
        (FOUR_GIB - 1, 2, "frame-gpa"),
    ],
)
def test_a_place_that_cannot_hold_a_frame_is_refused(at: int, size: int, path: str) -> None:
    with small_ram(REGIONS) as ram, pytest.raises(DescriptorRefused) as refused:
        memory.fetch(ram, Gpa(at), size)
    assert refused.value.path == path
