"""The client's protocol: which answer is whose, whatever comes in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenstore_sim.client.events import Event, EventBuffer
from xenstore_sim.client.protocol import Answer, ClientProtocol, transaction_id
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.errors import ProtocolViolation
from xenstore_sim.wire.layout import Packet, encode_packet
from xenstore_sim.wire.names import ReqId, Token, TxId
from xenstore_sim.wire.ops import Errno, Op


def sent(protocol: ClientProtocol) -> list[Packet]:
    """What the protocol wants to send; it is sent now."""
    decoder = Decoder()
    decoder.feed(bytes(protocol.outgoing))
    protocol.was_sent(len(protocol.outgoing))
    packets = []
    while (packet := decoder.next_packet()) is not None:
        packets.append(packet)
    return packets


def reply(op: Op, req_id: int, payload: bytes) -> bytes:
    return encode_packet(op, req_id, 0, payload)


def test_golden_request_bytes() -> None:
    protocol = ClientProtocol()
    assert protocol.request(Op.READ, b"/a\0", TxId(0x0A0B0C0D)) == 1
    assert protocol.outgoing.hex(" ", -4) == "02000000 01000000 0d0c0b0a 03000000 2f6100"


def test_ids_are_all_different_and_requests_counted() -> None:
    protocol = ClientProtocol()
    ids = {protocol.request(Op.READ, b"/\0") for _ in range(50)}
    assert len(ids) == protocol.in_flight == protocol.round_trips == 50


def test_ids_wrap_and_skip_those_in_flight() -> None:
    protocol = ClientProtocol()
    first = protocol.request(Op.READ, b"/\0")
    protocol._next_id = 2**32 - 1
    assert [protocol.request(Op.READ, b"/\0") for _ in range(3)] == [2**32 - 1, 0, first + 1]


@given(st.permutations(range(1, 9)))
def test_answers_find_their_requests_in_any_order(order: list[int]) -> None:
    protocol = ClientProtocol()
    for _ in order:
        protocol.request(Op.READ, b"/\0")
    data = b"".join(reply(Op.READ, req_id, b"%d" % req_id) for req_id in order)
    answers = protocol.receive(data)
    assert answers == tuple(Answer(ReqId(n), b"%d" % n, None) for n in order)
    assert protocol.in_flight == 0


def test_an_error_names_its_errno() -> None:
    protocol = ClientProtocol()
    first, second = protocol.request(Op.RM, b"/\0"), protocol.request(Op.RM, b"/\0")
    data = reply(Op.ERROR, first, b"EACCES\0") + reply(Op.ERROR, second, b"EQUOTA\0")
    assert protocol.receive(data) == (
        Answer(first, b"", Errno.EACCES),
        Answer(second, b"", Errno.EINVAL),
    )


@pytest.mark.parametrize(
    "data",
    [
        reply(Op.READ, 99, b""),
        reply(Op.WRITE, 1, b"OK\0"),
        reply(Op.ERROR, 99, b"EIO\0"),
        encode_packet(Op.WATCH_EVENT, 0, 0, b"/a"),
        encode_packet(Op.WATCH_EVENT, 0, 0, b"/a\0t"),
        bytes.fromhex("02000000 01000000 00000000 01100000"),
    ],
)
def test_what_no_daemon_sends_is_a_violation(data: bytes) -> None:
    protocol = ClientProtocol()
    protocol.request(Op.READ, b"/\0")
    with pytest.raises(ProtocolViolation):
        protocol.receive(data)


def test_a_request_too_large_is_not_sent() -> None:
    protocol = ClientProtocol()
    with pytest.raises(ProtocolViolation, match="WRITE with a payload of 4097 bytes"):
        protocol.request(Op.WRITE, bytes(4097))
    assert not protocol.outgoing
    assert protocol.in_flight == 0


def test_an_abandoned_answer_is_nobodys() -> None:
    protocol = ClientProtocol()
    abandoned, kept = protocol.request(Op.READ, b"/\0"), protocol.request(Op.READ, b"/\0")
    protocol.abandon(abandoned)
    data = reply(Op.READ, abandoned, b"a") + reply(Op.READ, kept, b"b")
    assert protocol.receive(data) == (Answer(kept, b"b", None),)
    protocol.abandon(kept)
    assert protocol.in_flight == 0


def test_an_abandoned_transaction_is_dropped_when_its_id_comes() -> None:
    protocol = ClientProtocol()
    start = protocol.request(Op.TRANSACTION_START, b"\0")
    protocol.abandon(start)
    sent(protocol)
    assert protocol.receive(reply(Op.TRANSACTION_START, start, b"7\0")) == ()
    (end,) = sent(protocol)
    assert (end.type, end.tx_id, end.payload) == (Op.TRANSACTION_END, 7, b"F\0")
    assert protocol.receive(reply(Op.TRANSACTION_END, end.req_id, b"OK\0")) == ()


def test_an_abandoned_watch_is_taken_back_when_it_stands() -> None:
    protocol = ClientProtocol()
    watch = protocol.request(Op.WATCH, b"/a\0t\0")
    protocol.abandon(watch)
    sent(protocol)
    assert protocol.receive(reply(Op.WATCH, watch, b"OK\0")) == ()
    (unwatch,) = sent(protocol)
    assert (unwatch.type, unwatch.payload) == (Op.UNWATCH, b"/a\0t\0")


def test_a_refused_abandoned_request_needs_no_taking_back() -> None:
    protocol = ClientProtocol()
    watch = protocol.request(Op.WATCH, b"/a\0t\0")
    protocol.abandon(watch)
    sent(protocol)
    assert protocol.receive(reply(Op.ERROR, watch, b"EEXIST\0")) == ()
    assert sent(protocol) == []


def test_events_go_to_the_buffers_of_their_token_and_path() -> None:
    protocol = ClientProtocol()
    a, below, other, root = (
        EventBuffer(path, Token(token), 9)
        for path, token in (("/a", b"1"), ("/a/b", b"1"), ("/a", b"2"), ("/", b"1"))
    )
    for buffer in (a, below, other, root):
        protocol.add_buffer(buffer)
    event = encode_packet(Op.WATCH_EVENT, 0, 0, b"/a/x\x001\0")
    assert protocol.receive(event) == ()
    assert [buffer.ready for buffer in (a, below, other, root)] == [True, False, False, True]
    assert a.get() == Event("/a/x", Token(b"1"))
    protocol.remove_buffer(a)
    protocol.receive(event + encode_packet(Op.WATCH_EVENT, 0, 0, b"/zz\x009\0"))
    assert not a.ready
    for buffer in (below, other, root):
        protocol.remove_buffer(buffer)
    assert protocol.receive(event) == ()


@pytest.mark.parametrize("payload", [b"", b"\0", b"x\0", b"0\0", b"-1\0", b"4294967296\0"])
def test_a_transaction_id_is_a_number_above_zero(payload: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        transaction_id(payload)
    assert transaction_id(b"4294967295\0") == 2**32 - 1
