"""Cancellation and bad peers: whoever leaves when, the others get their answers."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from xenstore_sim.client import Client
from xenstore_sim.client.pump import IN_FLIGHT_MAX
from xenstore_sim.server import ServerHandle
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.errors import Disconnected, ProtocolViolation
from xenstore_sim.wire.layout import Packet, encode_packet
from xenstore_sim.wire.ops import Op


class Peer:
    """A daemon played by the test: it reads and answers only when told to."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._decoder = Decoder()

    async def next(self) -> Packet:
        """The next request."""
        while (packet := self._decoder.next_packet()) is None:
            data = await self.stream.receive_some()
            assert data, "the client left"
            self._decoder.feed(data)
        return packet

    async def reply(self, to: Packet, payload: bytes) -> None:
        await self.stream.send_all(encode_packet(to.type, to.req_id, to.tx_id, payload))


@asynccontextmanager
async def conversation(buffer_bytes: int | None = None) -> AsyncIterator[tuple[Client, Peer]]:
    """A client and a played daemon. buffer_bytes: what the sockets hold, about."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    if buffer_bytes is not None:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    async with Client.from_socket(ours) as client:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
        async with stream:
            yield client, Peer(stream)


async def test_a_cancelled_requests_answer_is_not_the_next_ones() -> None:
    async with conversation() as (client, peer):
        with trio.move_on_after(0):
            await client.read("/old")
        old = await peer.next()
        async with trio.open_nursery() as nursery:
            answers: list[bytes] = []

            async def ask() -> None:
                answers.append(await client.read("/new"))

            nursery.start_soon(ask)
            new = await peer.next()
            await peer.reply(old, b"old")
            await peer.reply(new, b"new")
        assert answers == [b"new"]


@pytest.mark.parametrize("leaver", range(4))
async def test_whoever_of_several_leaves_the_others_get_their_answers(leaver: int) -> None:
    async with conversation() as (client, peer):
        scopes = [trio.CancelScope() for _ in range(4)]
        answers: dict[int, bytes] = {}

        async def ask(number: int) -> None:
            with scopes[number]:
                answers[number] = await client.read(f"/{number}")

        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(ask, number)
            await wait_all_tasks_blocked()
            requests = [await peer.next() for _ in range(4)]
            scopes[leaver].cancel()
            await wait_all_tasks_blocked()
            for request in requests:
                await peer.reply(request, request.payload)
        assert answers == {n: f"/{n}\0".encode() for n in range(4) if n != leaver}


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_leaving_in_the_very_moment_of_the_answer(moment: str) -> None:
    """The leader gets two answers at once while the other one's task is being cancelled."""
    async with conversation() as (client, peer):
        leader, follower = trio.CancelScope(), trio.CancelScope()
        answers: list[bytes] = []

        async def ask(path: str, scope: trio.CancelScope) -> None:
            with scope:
                answers.append(await client.read(path))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "/1", leader)
            await wait_all_tasks_blocked()
            nursery.start_soon(ask, "/2", follower)
            await wait_all_tasks_blocked()
            one, two = await peer.next(), await peer.next()
            if moment == "before":
                follower.cancel()
            await peer.reply(two, b"2")
            await peer.reply(one, b"1")
            if moment == "after":
                leader.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "/3", trio.CancelScope())
            await peer.reply(await peer.next(), b"3")
        assert answers[-1] == b"3"


async def test_a_start_whose_caller_left_leaves_no_transaction() -> None:
    async with conversation() as (client, peer):
        with trio.move_on_after(0):
            async with client.begin():
                pytest.fail("began without an answer")
        start = await peer.next()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.read, "/")
            read = await peer.next()
            await peer.reply(start, b"9\0")
            end = await peer.next()
            assert (end.type, end.tx_id, end.payload) == (Op.TRANSACTION_END, 9, b"F\0")
            await peer.reply(end, b"OK\0")
            await peer.reply(read, b"")


class _CancelWithTheAnswer(trio.abc.Instrument):
    """Cancels in the same round of the scheduler in which the socket becomes readable."""

    def __init__(self) -> None:
        self.scope: trio.CancelScope | None = None

    def after_io_wait(self, timeout: float) -> None:
        if self.scope is not None:
            self.scope.cancel()
            self.scope = None


async def test_a_caller_that_leaves_as_its_answer_comes_leaves_no_transaction() -> None:
    """The one that reads takes the answer for another that is cancelled and has not run yet.

    Which of the two runs first is the scheduler's secret; in many rounds both orders come up.
    """
    instrument = _CancelWithTheAnswer()
    trio.lowlevel.add_instrument(instrument)
    try:
        for _ in range(24):
            await _leave_as_the_answer_comes(instrument)
    finally:
        trio.lowlevel.remove_instrument(instrument)


async def _leave_as_the_answer_comes(instrument: _CancelWithTheAnswer) -> None:
    async with conversation() as (client, peer), trio.open_nursery() as nursery:
        nursery.start_soon(client.read, "/")
        read = await peer.next()
        scope = trio.CancelScope()

        async def begin() -> None:
            with scope:
                async with client.begin():
                    pytest.fail("the answer was for a cancelled caller")

        nursery.start_soon(begin)
        start = await peer.next()
        await wait_all_tasks_blocked()
        instrument.scope = scope
        await peer.reply(start, b"9\0")
        end = await peer.next()
        assert (end.type, end.tx_id, end.payload) == (Op.TRANSACTION_END, 9, b"F\0")
        await peer.reply(end, b"OK\0")
        await peer.reply(read, b"")


async def test_a_watch_whose_caller_left_is_taken_back() -> None:
    async with conversation() as (client, peer):
        with trio.move_on_after(0):
            async with client.watch("/a"):
                pytest.fail("watched without an answer")
        watch = await peer.next()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.read, "/")
            read = await peer.next()
            await peer.reply(watch, b"OK\0")
            unwatch = await peer.next()
            assert (unwatch.type, unwatch.payload) == (Op.UNWATCH, watch.payload)
            await peer.reply(unwatch, b"OK\0")
            await peer.reply(read, b"")


async def test_a_cancelled_block_drops_its_transaction_at_once() -> None:
    async with conversation() as (client, peer):
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()

            async def block() -> None:
                with scope:
                    async with client.begin() as tx:
                        await tx.read("/a")

            nursery.start_soon(block)
            await peer.reply(await peer.next(), b"5\0")
            await peer.next()
            scope.cancel()
        end = await peer.next()
        assert (end.type, end.tx_id, end.payload) == (Op.TRANSACTION_END, 5, b"F\0")


async def test_requests_in_flight_have_a_bound() -> None:
    async with conversation() as (client, peer):
        async with trio.open_nursery() as nursery:
            for number in range(IN_FLIGHT_MAX + 5):
                nursery.start_soon(client.read, f"/{number}")
            await wait_all_tasks_blocked()
            assert client.round_trips == IN_FLIGHT_MAX
            for _ in range(IN_FLIGHT_MAX + 5):
                await peer.reply(await peer.next(), b"")
        assert client.round_trips == IN_FLIGHT_MAX + 5


async def test_a_peer_that_reads_late_gets_every_request_whole() -> None:
    """More than the socket holds, so that the rest is sent by whoever waits."""
    async with conversation(buffer_bytes=4096) as (client, peer):
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(client.write, f"/{number}", bytes(4000))
            await wait_all_tasks_blocked()
            assert client._pump.protocol.outgoing, "the test needs a socket that is full"
            written = set()
            for _ in range(40):
                request = await peer.next()
                path, _, value = request.payload.partition(b"\0")
                assert value == bytes(4000)
                written.add(path.decode())
                await peer.reply(request, b"OK\0")
        assert written == {f"/{number}" for number in range(40)}


BAD = [
    (encode_packet(Op.READ, 99, 0, b""), "which was not made"),
    (encode_packet(Op.WRITE, 1, 0, b"OK\0"), "of type 11 to request"),
    (encode_packet(Op.WATCH_EVENT, 0, 0, b"x"), "watch event"),
    (bytes.fromhex("02000000 01000000 00000000 01100000"), "payload of 0x1001 bytes"),
]


@pytest.mark.parametrize(("data", "text"), BAD)
async def test_a_peer_that_breaks_the_protocol_ends_the_connection(data: bytes, text: str) -> None:
    async with conversation() as (client, peer):
        await peer.stream.send_all(data)
        with pytest.raises(Disconnected, match=text):
            await client.read("/")
        with pytest.raises(Disconnected, match=text):
            await client.write("/", "")


async def test_nonsense_for_permissions_is_a_violation() -> None:
    async with conversation() as (client, peer), trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(ProtocolViolation, match="GET_PERMS was answered with b'what"):
                await client.get_perms("/")

        nursery.start_soon(ask)
        await peer.reply(await peer.next(), b"what\0")


async def test_a_peer_that_leaves_ends_every_wait() -> None:
    async with conversation() as (client, peer), trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(Disconnected):
                await client.read("/")

        for _ in range(3):
            nursery.start_soon(ask)
        await peer.next()
        await peer.stream.aclose()


async def test_cancelling_again_and_again_leaves_a_usable_connection(
    server: ServerHandle, dom0: Client
) -> None:
    """Each await of a transaction with a watch is cancelled in its turn."""

    async def work() -> None:
        async with dom0.watch("/a") as watch:
            await watch.get()
            await dom0.transaction(lambda tx: tx.write("/a", "v"))
            await watch.get()

    # Rounds of the scheduler, not seconds: each number cancels at another await.
    for patience in range(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            for _ in range(patience):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert await dom0.directory("/") in (("tool",), ("tool", "a"))
    assert server.statistics().watches == 0
    async with dom0.begin() as tx:
        assert tx.tx_id > 0
    await work()
