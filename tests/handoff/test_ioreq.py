from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import GpaRange
from handoff.errors import PeerMisbehaved
from handoff.ioreq import (
    COUNT_MAX,
    IOREQ_BYTES,
    Direction,
    Ioreq,
    IoreqState,
    IoreqType,
    decode_answer,
    decode_request,
)

READ_STRING = Ioreq(
    IoreqType.PIO, Direction.READ, 0x511, 1, 0x123456, 0x1000, data_is_ptr=True, descending=True
)
WRITE = Ioreq(IoreqType.PIO, Direction.WRITE, 0x510, 2, 0x0019)


def test_a_request_is_xens_structure() -> None:
    # addr, data, count, size, vp_eport, padding, then state 1 | pointer | read | df, type PIO
    assert READ_STRING.encode().hex(" ", 8) == (
        "1105000000000000 5634120000000000 0010000001000000 0000000000007100"
    )
    assert WRITE.encode().hex(" ", 8) == (
        "1005000000000000 1900000000000000 0100000002000000 0000000000000100"
    )
    mmio = Ioreq(IoreqType.COPY, Direction.READ, 0xFEE00020, 4)
    assert mmio.encode().hex(" ", 8) == (
        "2000e0fe00000000 0000000000000000 0100000004000000 0000000000002101"
    )


REQUESTS = st.builds(
    Ioreq,
    st.just(IoreqType.PIO),
    st.sampled_from(Direction),
    st.integers(0, 0xFFFC),
    st.sampled_from((1, 2, 4)),
    st.integers(1 << 30, 1 << 40),
    st.integers(1, COUNT_MAX),
    st.just(True),
    st.booleans(),
)


@given(request=st.one_of(REQUESTS, st.just(WRITE)))
def test_what_is_encoded_is_decoded(request: Ioreq) -> None:
    assert decode_request(request.encode()) == request
    assert decode_answer(request.answered().encode(), request) == request.answered()


@given(packet=st.one_of(st.binary(max_size=40), st.binary(min_size=32, max_size=32)))
def test_any_bytes_are_a_request_or_refused(packet: bytes) -> None:
    try:
        request = decode_request(packet)
    except PeerMisbehaved:
        return
    assert request.encode() == packet


@pytest.mark.parametrize(
    ("at", "value", "field"),
    [
        pytest.param(31, 2, "type", id="type"),
        pytest.param(30, IoreqState.RESPONSE_READY, "state", id="state"),
        pytest.param(30, IoreqState.READY | 0x80, "padding", id="pad bit"),
        pytest.param(24, 1, "vp_eport", id="event channel"),
        pytest.param(28, 1, "padding", id="padding"),
        pytest.param(20, 8, "size", id="size of PIO"),
        pytest.param(20, 3, "size", id="size"),
        pytest.param(16, 0, "count", id="no count"),
        pytest.param(16, 2, "count", id="count without a pointer"),
        pytest.param(2, 1, "addr", id="port"),
        pytest.param(11, 1, "data", id="data wider than the access"),
    ],
)
def test_a_field_that_is_wrong_is_named(at: int, value: int, field: str) -> None:
    packet = bytearray(WRITE.encode())
    packet[at] = value
    with pytest.raises(PeerMisbehaved, match=field):
        decode_request(bytes(packet))


@pytest.mark.parametrize("size", [0, IOREQ_BYTES - 1, IOREQ_BYTES + 1])
def test_a_packet_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(PeerMisbehaved, match="length"):
        decode_request(bytes(size))


def test_more_repetitions_than_the_bound_are_refused() -> None:
    many = Ioreq(IoreqType.PIO, Direction.READ, 0x511, 1, 0x1000, COUNT_MAX + 1, data_is_ptr=True)
    with pytest.raises(PeerMisbehaved, match="count"):
        decode_request(many.encode())


def test_a_buffer_beyond_all_addresses_is_refused() -> None:
    below = Ioreq(IoreqType.PIO, Direction.READ, 0x511, 4, 8, 4, data_is_ptr=True, descending=True)
    with pytest.raises(PeerMisbehaved, match="data"):
        decode_request(below.encode())


def test_values_go_down_from_the_first_where_the_direction_flag_is_set() -> None:
    assert READ_STRING.buffer == GpaRange.between(0x123456 - 0xFFF, 0x123457)


def test_an_answer_to_another_request_is_refused() -> None:
    other = Ioreq(IoreqType.PIO, Direction.READ, 0x512, 1).answered(5)
    with pytest.raises(PeerMisbehaved, match="is no answer"):
        decode_answer(other.encode(), Ioreq(IoreqType.PIO, Direction.READ, 0x511, 1))


def test_an_answer_wider_than_the_access_is_refused() -> None:
    request = Ioreq(IoreqType.PIO, Direction.READ, 0x511, 1)
    with pytest.raises(PeerMisbehaved, match="data"):
        decode_answer(request.answered(0x100).encode(), request)
