"""Frames: one message of the handoff as bytes that any carrier can carry.

Strict: a wrong magic, version, kind, flag, length or checksum, a byte too few and a byte
too many are each refused with the field's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from handoff.crc32c import crc32c
from handoff.errors import DescriptorRefused
from handoff.layouts.frame import FRAME_HEADER, HEADER_BYTES, MAGIC, VERSION

FRAME_MAX_BYTES = 32 * 1024
"""Longest frame, header included: twenty-three chunks of the xenstore carrier."""
GENERATION_MAX = (1 << 63) - 1


class FrameKind(IntEnum):
    DESCRIPTOR = 1
    """toolstack to device model: what lies where"""
    REPORT = 2
    """device model to toolstack: what was placed where"""


@dataclass(frozen=True, slots=True)
class Frame:
    kind: FrameKind
    generation: int
    """attempt this frame belongs to, 1..GENERATION_MAX"""
    payload: bytes

    def __post_init__(self) -> None:
        assert 1 <= self.generation <= GENERATION_MAX, self.generation
        assert len(self.payload) <= FRAME_MAX_BYTES - HEADER_BYTES, len(self.payload)


def encode_frame(frame: Frame) -> bytes:
    """`frame` as bytes, at most FRAME_MAX_BYTES."""
    fields = {
        "magic": MAGIC,
        "version": VERSION,
        "kind": int(frame.kind),
        "flags": 0,
        "generation": frame.generation,
        "length": len(frame.payload),
    }
    unsummed = FRAME_HEADER.build({**fields, "crc32c": 0})
    checksum = crc32c(unsummed + frame.payload)
    return FRAME_HEADER.build({**fields, "crc32c": checksum}) + frame.payload


def decode_frame(data: bytes, kind: FrameKind) -> Frame:
    """The frame that is exactly `data`. Raises: DescriptorRefused with the field."""
    if len(data) > FRAME_MAX_BYTES:
        raise DescriptorRefused("frame", f"{len(data)} bytes, the limit is {FRAME_MAX_BYTES}")
    if len(data) < HEADER_BYTES:
        raise DescriptorRefused("frame", f"{len(data)} bytes, the header alone has {HEADER_BYTES}")
    header = FRAME_HEADER.parse(data[:HEADER_BYTES])
    payload = data[HEADER_BYTES:]
    _expect("frame.magic", header.magic == MAGIC, header.magic.hex(), MAGIC.hex())
    _expect("frame.version", header.version == VERSION, header.version, VERSION)
    _expect("frame.kind", header.kind == kind, header.kind, int(kind))
    _expect("frame.flags", header.flags == 0, f"{header.flags:#x}", "0")
    _expect("frame.length", header.length == len(payload), header.length, len(payload))
    in_range = 1 <= header.generation <= GENERATION_MAX
    _expect("frame.generation", in_range, header.generation, f"1..{GENERATION_MAX}")
    checksum = crc32c(data[: HEADER_BYTES - 4] + bytes(4) + payload)
    found = f"{header.crc32c:#010x}"
    _expect("frame.crc32c", header.crc32c == checksum, found, f"{checksum:#010x}")
    return Frame(kind, header.generation, payload)


def _expect(path: str, holds: bool, found: object, wanted: object) -> None:
    if not holds:
        raise DescriptorRefused(path, f"is {found}, must be {wanted}")
