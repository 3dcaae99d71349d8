"""The decoder, three ways: whole, byte by byte, with a tail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.errors import ProtocolViolation
from xenstore_sim.wire.layout import PAYLOAD_MAX, Packet, encode_packet
from xenstore_sim.wire.names import ReqId, TxId

U32 = st.integers(0, 2**32 - 1)
PACKETS = st.builds(
    Packet, U32, U32.map(ReqId), U32.map(TxId), st.binary(max_size=64) | st.just(bytes(PAYLOAD_MAX))
)
# type, req_id, tx_id and length all differ, so that no two can be swapped.
GOLDEN = [
    (
        "02000000 04030201 0d0c0b0a 03000000 2f6100",
        Packet(2, ReqId(0x01020304), TxId(0x0A0B0C0D), b"/a\0"),
    ),
    (
        "0b000000 ffffffff 00000080 05000000 2f61007600",
        Packet(11, ReqId(2**32 - 1), TxId(2**31), b"/a\0v\0"),
    ),
    ("06000000 01000000 02000000 00000000", Packet(6, ReqId(1), TxId(2), b"")),
]


def everything(decoder: Decoder) -> list[Packet]:
    found = []
    while (packet := decoder.next_packet()) is not None:
        found.append(packet)
    return found


@pytest.mark.parametrize(("hexed", "packet"), GOLDEN)
def test_golden_whole(hexed: str, packet: Packet) -> None:
    decoder = Decoder()
    decoder.feed(bytes.fromhex(hexed))
    assert everything(decoder) == [packet]
    assert decoder.buffered == 0


@pytest.mark.parametrize(("hexed", "packet"), GOLDEN)
def test_golden_byte_by_byte(hexed: str, packet: Packet) -> None:
    decoder, data = Decoder(), bytes.fromhex(hexed)
    for at in range(len(data) - 1):
        decoder.feed(data[at : at + 1])
        assert decoder.next_packet() is None
    decoder.feed(data[-1:])
    assert everything(decoder) == [packet]


@pytest.mark.parametrize(("hexed", "packet"), GOLDEN)
@pytest.mark.parametrize("tail", [b"\x02", bytes(15), bytes(15) + b"\x01"])
def test_golden_with_a_tail(hexed: str, packet: Packet, tail: bytes) -> None:
    decoder = Decoder()
    decoder.feed(bytes.fromhex(hexed) + tail)
    first = decoder.next_packet()
    assert first == packet
    assert decoder.buffered == len(tail)


@given(st.lists(PACKETS, max_size=5), st.lists(st.integers(1, 40), min_size=1))
def test_portions_do_not_matter(packets: list[Packet], sizes: list[int]) -> None:
    data = b"".join(encode_packet(*packet) for packet in packets)
    decoder, found, at, turn = Decoder(), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        decoder.feed(data[at : at + size])
        found += everything(decoder)
        at, turn = at + size, turn + 1
    assert found == packets


def test_an_oversize_length_is_refused_on_the_header_alone() -> None:
    decoder = Decoder()
    decoder.feed(encode_packet(2, 1, 0, b"/\0"))
    decoder.feed(bytes.fromhex("02000000 01000000 00000000 01100000"))
    assert decoder.next_packet() == Packet(2, ReqId(1), TxId(0), b"/\0")
    for _ in range(2):
        with pytest.raises(ProtocolViolation, match=r"0x1001 bytes, the bound is 0x1000"):
            decoder.next_packet()


@given(st.binary(max_size=200))
def test_any_bytes_give_packets_or_a_violation(data: bytes) -> None:
    decoder = Decoder()
    decoder.feed(data)
    try:
        taken = sum(16 + len(packet.payload) for packet in everything(decoder))
    except ProtocolViolation:
        return
    assert taken + decoder.buffered == len(data)


def test_clearing_forgets_what_arrived() -> None:
    decoder = Decoder()
    decoder.feed(encode_packet(2, 1, 0, b"/\0")[:-1])
    decoder.clear()
    decoder.feed(encode_packet(6, 2, 0, b""))
    assert everything(decoder) == [Packet(6, ReqId(2), TxId(0), b"")]
