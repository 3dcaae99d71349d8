"""The envelope around every message of the handoff: 32 bytes, then the payload.

Source: docs/protocol.md, section "Frame". Little-endian throughout.
"""

from __future__ import annotations

from construct import Bytes, Int16ul, Int32ul, Int64ul, Struct

MAGIC = b"DIRBOOT\x1a"
VERSION = 1

FRAME_HEADER = Struct(
    "magic" / Bytes(8),
    "version" / Int16ul,
    "kind" / Int16ul,
    "flags" / Int32ul,
    "generation" / Int64ul,
    "length" / Int32ul,  # payload bytes behind the header
    "crc32c" / Int32ul,  # over header and payload, this field taken as zero
)
HEADER_BYTES = FRAME_HEADER.sizeof()
assert HEADER_BYTES == 32
