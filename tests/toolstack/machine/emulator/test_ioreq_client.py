from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from handoff.addresses import GpaRange
from handoff.ioreq import Direction, Ioreq, IoreqType, decode_request
from toolstack.machine.emulator.ioreq_client import IoreqClient
from toolstack.machine.emulator.stop import GuestStopped, StopReason

Channel = tuple[socket.socket, socket.socket]


@pytest.fixture
def channel() -> Iterator[Channel]:
    """The machine's end and the device model's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.setblocking(False)
        yield ours, theirs


READ = Ioreq(IoreqType.PIO, Direction.READ, 0x511, 1)


def test_a_read_is_one_request_and_gives_its_answer(channel: Channel) -> None:
    ours, theirs = channel
    theirs.send(READ.answered(0x51).encode())
    assert IoreqClient(ours).read(0x511, 1) == 0x51
    assert decode_request(theirs.recv(64)) == READ


def test_a_write_waits_until_it_was_done(channel: Channel) -> None:
    ours, theirs = channel
    request = Ioreq(IoreqType.PIO, Direction.WRITE, 0x510, 2, 0x19)
    theirs.send(request.answered().encode())
    IoreqClient(ours).write(0x510, 2, 0x19)
    assert decode_request(theirs.recv(64)) == request


def test_a_string_is_one_request_with_the_address_of_its_buffer(channel: Channel) -> None:
    ours, theirs = channel
    request = Ioreq(IoreqType.PIO, Direction.READ, 0x511, 2, 0x2000, 0x80, data_is_ptr=True)
    theirs.send(request.answered().encode())
    IoreqClient(ours).read_string(0x511, 2, GpaRange.between(0x2000, 0x2100))
    assert decode_request(theirs.recv(64)) == request


def test_a_device_model_that_is_gone_stops_the_guest(channel: Channel) -> None:
    ours, theirs = channel
    theirs.close()
    with pytest.raises(GuestStopped, match="is gone") as stopped:
        IoreqClient(ours).read(0x511, 1)
    assert stopped.value.reason is StopReason.ABANDONED


def test_a_device_model_that_is_silent_stops_the_guest(channel: Channel) -> None:
    ours, _ = channel
    with pytest.raises(GuestStopped, match=r"did not answer within 0\.01 s"):
        IoreqClient(ours, answer_s=0.01).read(0x511, 1)


@pytest.mark.parametrize(
    "answer",
    [b"", b"x", READ.encode(), READ.answered(0x100).encode()],
    ids=["empty", "short", "a request", "too wide"],
)
def test_what_is_no_answer_stops_the_guest(channel: Channel, answer: bytes) -> None:
    ours, theirs = channel
    theirs.send(answer)
    with pytest.raises(GuestStopped, match="port 0x511"):
        IoreqClient(ours).read(0x511, 1)
