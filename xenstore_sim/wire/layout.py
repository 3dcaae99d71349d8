"""The 16 bytes in front of every message: type, req_id, tx_id, len; little-endian u32 each.

`struct` rather than construct: every process that talks to a xenstore imports this first thing,
and every message passes through it. A test holds the two equal.
Source: xen/include/public/io/xs_wire.h, struct xsd_sockmsg.
"""

import struct
from typing import Final, NamedTuple

from xenstore_sim.wire.names import ReqId, TxId

HEADER: Final = struct.Struct("<IIII")
HEADER_SIZE: Final = HEADER.size
assert HEADER_SIZE == 16, "xsd_sockmsg is four u32"

PAYLOAD_MAX: Final = 4096
"""Bytes after the header, inclusive, both ways."""


class Packet(NamedTuple):
    """One message as it crosses the wire."""

    type: int
    """An `Op`, or any other u32: peers send what they like."""
    req_id: ReqId
    tx_id: TxId
    payload: bytes


def encode_packet(type_: int, req_id: int, tx_id: int, payload: bytes) -> bytes:
    """Header and payload. payload: at most PAYLOAD_MAX bytes."""
    assert len(payload) <= PAYLOAD_MAX, f"payload of {len(payload)} bytes, bound {PAYLOAD_MAX}"
    return HEADER.pack(type_, req_id, tx_id, len(payload)) + payload
