"""The header's bytes."""

import construct
import pytest

from xenstore_sim.wire.layout import HEADER, HEADER_SIZE, PAYLOAD_MAX, encode_packet

# struct xsd_sockmsg of xen/include/public/io/xs_wire.h, said a second time.
XSD_SOCKMSG = construct.Struct(
    "type" / construct.Int32ul,
    "req_id" / construct.Int32ul,
    "tx_id" / construct.Int32ul,
    "len" / construct.Int32ul,
)


def test_golden_every_field_has_its_own_place_and_byte_order() -> None:
    packet = encode_packet(0x0B, 0x01020304, 0x0A0B0C0D, b"/a\0v")
    assert packet.hex(" ", -4) == "0b000000 04030201 0d0c0b0a 04000000 2f610076"


def test_the_header_is_the_struct_of_the_public_headers() -> None:
    fields = {"type": 2, "req_id": 0x11223344, "tx_id": 0x55667788, "len": 0}
    assert XSD_SOCKMSG.sizeof() == HEADER_SIZE
    assert XSD_SOCKMSG.build(fields) == encode_packet(2, 0x11223344, 0x55667788, b"")
    assert HEADER.unpack(XSD_SOCKMSG.build(fields)) == tuple(fields.values())


def test_a_payload_above_the_bound_is_our_own_mistake() -> None:
    assert len(encode_packet(2, 0, 0, bytes(PAYLOAD_MAX))) == HEADER_SIZE + 4096
    with pytest.raises(AssertionError, match="4097 bytes, bound 4096"):
        encode_packet(2, 0, 0, bytes(PAYLOAD_MAX + 1))
