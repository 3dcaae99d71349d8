"""Both ends of a ring: what each writes into the page, byte for byte, and what each believes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xenstore_sim.ring.pages import begun, fields, fresh
from tests.xenstore_sim.ring.test_byte_queue import INDEXES
from xenstore_sim.ring.byte_queue import BadIndex
from xenstore_sim.ring.guest_end import GuestEnd
from xenstore_sim.ring.page import Field, RingError
from xenstore_sim.ring.server_end import ServerEnd
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.errors import Disconnected
from xenstore_sim.wire.layout import Packet, encode_packet
from xenstore_sim.wire.names import ReqId, TxId
from xenstore_sim.wire.ops import Op

READ = encode_packet(Op.READ, 0x01020304, 0, b"/a\0")
VALUE = encode_packet(Op.READ, 0x01020304, 0, b"v")


def test_a_conversation_leaves_these_bytes() -> None:
    page = fresh()
    page.fields[Field.EVTCHN_PORT] = 7
    server, guest = ServerEnd(page, features=None), GuestEnd(page)
    assert guest.write(READ) == 19
    assert fields(page) == "00000000 13000000 00000000 00000000 00000000 00000000 00000000 07000000"
    assert server.read() == READ
    assert fields(page) == "13000000 13000000 00000000 00000000 00000000 00000000 00000000 07000000"
    assert server.write(VALUE) == 17
    assert fields(page) == "13000000 13000000 00000000 11000000 00000000 00000000 00000000 07000000"
    assert guest.read() == VALUE
    assert fields(page) == "13000000 13000000 11000000 11000000 00000000 00000000 00000000 07000000"
    assert page.requests[:20].tobytes().hex() == "020000000403020100000000030000002f610000"
    assert page.responses[:18].tobytes().hex() == "020000000403020100000000010000007600"


@pytest.mark.parametrize(
    ("features", "written", "told"),
    [
        (None, "00000000", "02000000"),
        (2, "02000000", "02000000"),
        (14, "0e000000", "02000000"),
        (12, "0c000000", "00000000"),
    ],
)
def test_features_are_written_by_releases_that_have_them_and_errors_told_to_who_knows(
    features: int | None, written: str, told: str
) -> None:
    page = fresh()
    server = ServerEnd(page, features)
    assert fields(page) == f"{'00000000 ' * 4}{written} {'00000000 ' * 2}00000000"
    server.tell_error(RingError.INDEX)
    assert fields(page) == f"{'00000000 ' * 4}{written} 00000000 {told} 00000000"


def test_what_was_in_the_ring_before_it_is_served_is_lost() -> None:
    page = begun(77)
    page.requests[77:80] = b"old"
    page.fields[Field.REQ_PROD] = 80
    server = ServerEnd(page, features=None)
    assert server.read() == b""
    assert fields(page) == " ".join(["00000000"] * 8)


def test_a_reset_empties_both_queues_and_answers_a_request_to_reconnect() -> None:
    page = fresh()
    server, guest = ServerEnd(page, features=14), GuestEnd(page)
    guest.write(READ)
    server.write(VALUE)
    assert not server.reset()
    assert fields(page) == "00000000 00000000 00000000 00000000 0e000000 00000000 00000000 00000000"
    page.fields[Field.CONNECTION] = 1
    assert server.read() == b""
    assert page.fields[Field.CONNECTION] == 1, "only a reset answers"
    assert server.reset()
    assert page.fields[Field.CONNECTION] == 0


def test_a_reset_does_not_take_an_error_back() -> None:
    page = fresh()
    server = ServerEnd(page, features=None)
    server.tell_error(RingError.PROTOCOL)
    page.fields[Field.REQ_PROD] = 5000
    server.reset()
    assert fields(page) == "00000000 00000000 00000000 00000000 00000000 00000000 03000000 00000000"


@pytest.mark.parametrize("field", [Field.REQ_CONS, Field.REQ_PROD])
def test_the_server_trusts_no_index_of_requests_not_even_its_own(field: Field) -> None:
    page = fresh()
    server = ServerEnd(page, features=None)
    page.fields[field] = 0x7FFFFFFF
    for use in (server.read, server.has_input):
        with pytest.raises(BadIndex):
            use()
    assert server.write(VALUE) == len(VALUE), "the other queue is as it was"


@pytest.mark.parametrize("field", [Field.RSP_CONS, Field.RSP_PROD])
def test_the_server_trusts_no_index_of_responses(field: Field) -> None:
    page = fresh()
    server = ServerEnd(page, features=None)
    page.fields[field] = 0x7FFFFFFF
    with pytest.raises(BadIndex):
        server.write(VALUE)


def test_the_guest_trusts_no_index_of_the_server() -> None:
    page = fresh()
    guest = GuestEnd(page)
    page.fields[Field.RSP_PROD] = 1025
    with pytest.raises(BadIndex, match="rsp_prod 0x401"):
        guest.read()
    page.fields[Field.RSP_PROD] = 0
    page.fields[Field.REQ_CONS] = 1
    with pytest.raises(BadIndex, match="req_prod 0x0 is 0xffffffff bytes ahead of req_cons 0x1"):
        guest.write(READ)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (1, "error 1: its event channel failed"),
        (2, "error 2: an index of ours was out of bounds"),
        (3, "error 3: a message of ours was too long"),
        (99, "error 99: for a reason we do not know"),
    ],
)
def test_the_guest_says_what_error_the_server_told(error: int, text: str) -> None:
    page = fresh()
    guest = GuestEnd(page)
    page.fields[Field.ERROR] = error
    for use in (guest.read, lambda: guest.write(READ)):
        with pytest.raises(Disconnected, match=text):
            use()


def test_the_guest_notices_that_the_ring_was_begun_anew() -> None:
    page = begun(5)
    guest = GuestEnd(page)
    guest.write(READ)
    ServerEnd(page, features=None)
    for use in (guest.read, lambda: guest.write(READ)):
        with pytest.raises(Disconnected, match="began this ring anew"):
            use()
    assert GuestEnd(page).write(READ) == len(READ), "a new end goes on"


PACKETS = st.builds(
    Packet,
    st.sampled_from([int(op) for op in Op]),
    st.integers(0, 2**32 - 1).map(ReqId),
    st.integers(0, 2**32 - 1).map(TxId),
    st.binary(max_size=100) | st.integers(0, 4096).map(bytes),
)


@given(
    packets=st.lists(PACKETS, max_size=6),
    start=INDEXES,
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=5),
    from_guest=st.booleans(),
)
def test_messages_arrive_as_they_were_sent_whatever_the_portions(
    packets: list[Packet], start: int, sizes: list[int], from_guest: bool
) -> None:
    """Most do not fit into a ring: both ends stream."""
    page = fresh()
    server = ServerEnd(page, features=None)
    for field in (Field.REQ_CONS, Field.REQ_PROD, Field.RSP_CONS, Field.RSP_PROD):
        page.fields[field] = start
    guest = GuestEnd(page)
    write, read = (guest.write, server.read) if from_guest else (server.write, guest.read)
    stream = b"".join(encode_packet(*packet) for packet in packets)
    decoder, received, turn = Decoder(), [], 0
    while stream or len(received) < len(packets):
        stream = stream[write(stream[: sizes[turn % len(sizes)]]) :]
        decoder.feed(read())
        while (packet := decoder.next_packet()) is not None:
            received.append(packet)
        turn += 1
    assert received == packets
