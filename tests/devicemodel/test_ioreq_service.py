from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import trio

from devicemodel.io_dispatch import IoDispatch
from devicemodel.ioreq_service import serve_ioreqs
from handoff.addresses import GpaRange
from handoff.errors import PeerMisbehaved
from handoff.guest_ram import MemfdRam, RamRegion
from handoff.ioreq import IOREQ_BYTES, Direction, Ioreq, IoreqType, decode_answer
from tests.builders import small_ram

LIMIT_S = 10
RAM = GpaRange.between(0x10000, 0x11000)
READ = Ioreq(IoreqType.PIO, Direction.READ, 0x60, 1)


@pytest.fixture
def ram() -> Iterator[MemfdRam]:
    with small_ram((RamRegion(RAM, 0),)) as ram:
        yield ram


@pytest.fixture
def channel() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The device model's end and the machine's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


Channel = tuple[socket.socket, socket.socket]


async def test_each_request_is_answered_in_turn(ram: MemfdRam, channel: Channel) -> None:
    ours, theirs = channel
    machine = trio.socket.from_stdlib_socket(theirs)
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_ioreqs, ours, IoDispatch(ram))
            for _ in range(3):
                await machine.send(READ.encode())
                assert decode_answer(await machine.recv(IOREQ_BYTES + 1), READ).data == 0xFF
            nursery.cancel_scope.cancel()


async def test_it_ends_when_the_machine_closes_the_channel(ram: MemfdRam, channel: Channel) -> None:
    ours, theirs = channel
    theirs.close()
    with trio.fail_after(LIMIT_S):
        await serve_ioreqs(ours, IoDispatch(ram))


async def test_a_machine_that_leaves_before_its_answer_is_no_error(
    ram: MemfdRam, channel: Channel
) -> None:
    ours, theirs = channel
    theirs.send(READ.encode())
    theirs.close()
    with trio.fail_after(LIMIT_S):
        await serve_ioreqs(ours, IoDispatch(ram))


@pytest.mark.parametrize(
    "packet", [b"short", bytes(IOREQ_BYTES), READ.encode() + b"\0"], ids=["short", "zeros", "long"]
)
async def test_what_is_no_request_ends_it_with_an_error(
    ram: MemfdRam, channel: Channel, packet: bytes
) -> None:
    ours, theirs = channel
    theirs.send(packet)
    with trio.fail_after(LIMIT_S), pytest.raises(PeerMisbehaved, match="ioreq"):
        await serve_ioreqs(ours, IoDispatch(ram))


async def test_data_that_are_not_in_ram_end_it_with_an_error(
    ram: MemfdRam, channel: Channel
) -> None:
    ours, theirs = channel
    theirs.send(Ioreq(IoreqType.PIO, Direction.READ, 0x60, 1, RAM.end, 2, True).encode())
    with trio.fail_after(LIMIT_S), pytest.raises(PeerMisbehaved, match="ioreq data"):
        await serve_ioreqs(ours, IoDispatch(ram))
