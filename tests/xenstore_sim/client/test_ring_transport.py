"""The client on a ring whose server is played by the test, over doorbells of both kinds."""

import mmap
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from xenstore_sim.client import Client
from xenstore_sim.ring.page import PAGE_SIZE, Field, RingPage
from xenstore_sim.ring.server_end import ServerEnd
from xenstore_sim.ring.shared_ring import RING
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.errors import Disconnected
from xenstore_sim.wire.layout import Packet, encode_packet


@dataclass
class Server:
    """A server on a page in a file."""

    page: RingPage
    end: ServerEnd
    heard: int
    """The doorbell that the client rings."""
    rung: int
    decoder: Decoder

    async def next(self) -> Packet:
        """The next request."""
        while (packet := self.decoder.next_packet()) is None:
            data = self.end.read()
            self.decoder.feed(data)
            await (self.ring() if data else self.hear())
        return packet

    async def reply(self, to: Packet, payload: bytes) -> None:
        """Write an answer, in as many portions as it takes."""
        data = encode_packet(to.type, to.req_id, to.tx_id, payload)
        while data:
            size = self.end.write(data)
            data = data[size:]
            await (self.ring() if size else self.hear())

    async def ring(self) -> None:
        with suppress(BlockingIOError):
            os.write(self.rung, RING)
        await trio.lowlevel.checkpoint()

    async def hear(self) -> None:
        await trio.lowlevel.wait_readable(self.heard)
        os.read(self.heard, 100)


@asynccontextmanager
async def conversation(
    tmp_path: Path, index: int = 0, *, eventfds: bool = False
) -> AsyncIterator[tuple[Client, Server]]:
    """A client and a played server. index: where the ring's indexes stand. eventfds: for
    doorbells, one each way; else one datagram socket for both ways."""
    path = tmp_path / "page"
    path.write_bytes(bytes(PAGE_SIZE))
    page = RingPage(_mapped(path))
    end = ServerEnd(page, features=None)
    for field in (Field.REQ_CONS, Field.REQ_PROD, Field.RSP_CONS, Field.RSP_PROD):
        page.fields[field] = index
    if eventfds:
        to_server, to_client = os.eventfd(0), os.eventfd(0)
        server = Server(page, end, os.dup(to_server), os.dup(to_client), Decoder())
    else:
        theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        to_server = to_client = theirs.detach()
        heard = ours.detach()
        server = Server(page, end, heard, os.dup(heard), Decoder())
    try:
        with trio.fail_after(60):
            async with Client.from_ring(os.open(path, os.O_RDWR), to_server, to_client) as client:
                yield client, server
    finally:
        os.close(server.heard)
        os.close(server.rung)


def _mapped(path: Path) -> memoryview:
    with path.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), PAGE_SIZE))


@pytest.mark.parametrize("eventfds", [True, False])
@pytest.mark.parametrize("index", [0, 2**32 - 1500])
async def test_messages_larger_than_the_ring_go_both_ways(
    tmp_path: Path, index: int, eventfds: bool
) -> None:
    async with (
        conversation(tmp_path, index, eventfds=eventfds) as (client, server),
        trio.open_nursery() as nursery,
    ):

        async def serve() -> None:
            written = await server.next()
            await server.reply(written, b"OK\0")
            await server.reply(await server.next(), written.payload[3:])

        nursery.start_soon(serve)
        value = bytes(range(256)) * 15
        await client.write("/a", value)
        assert await client.read("/a") == value


async def test_many_tasks_share_a_ring(tmp_path: Path) -> None:
    async with conversation(tmp_path) as (client, server), trio.open_nursery() as nursery:
        answers: dict[str, bytes] = {}

        async def ask(path: str) -> None:
            answers[path] = await client.read(path)

        paths = [f"/{'x' * 200}/{number}" for number in range(50)]
        for path in paths:
            nursery.start_soon(ask, path)
        for _ in paths:
            request = await server.next()
            await server.reply(request, request.payload)
    assert answers == {path: f"{path}\0".encode() for path in paths}


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        (Field.RSP_PROD, 1025, "broke the protocol: rsp_prod 0x401 is 0x401 bytes ahead"),
        (Field.REQ_CONS, 1, "broke the protocol: req_prod 0x0 is 0xffffffff bytes ahead"),
        (Field.ERROR, 2, "gave up this ring, error 2: an index of ours"),
        (Field.REQ_PROD, 77, "began this ring anew"),
    ],
)
async def test_a_server_that_spoils_the_page_ends_the_connection(
    tmp_path: Path, field: Field, value: int, text: str
) -> None:
    async with conversation(tmp_path) as (client, server):
        server.page.fields[field] = value
        await server.ring()
        for _ in range(2):
            with pytest.raises(Disconnected, match=text):
                await client.read("/")


async def test_an_error_told_while_the_client_waits_reaches_it(tmp_path: Path) -> None:
    async with conversation(tmp_path) as (client, server), trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(Disconnected, match="error 3: a message of ours was too long"):
                await client.read("/")

        nursery.start_soon(ask)
        await server.next()
        server.page.fields[Field.ERROR] = 3
        await server.ring()


async def test_a_ring_without_a_reason_is_harmless(tmp_path: Path) -> None:
    async with conversation(tmp_path) as (client, server), trio.open_nursery() as nursery:

        async def serve() -> None:
            request = await server.next()
            for _ in range(20):
                await server.ring()
            await server.reply(request, b"v")

        nursery.start_soon(serve)
        assert await client.read("/") == b"v"


async def test_what_is_no_page_is_refused_and_closed(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_bytes(bytes(100))
    before = os.listdir("/proc/self/fd")
    page, one, other = os.open(short, os.O_RDWR), os.eventfd(0), os.eventfd(0)
    with pytest.raises(Disconnected, match="is no ring page of 4096 bytes"):
        async with Client.from_ring(page, one, other):
            pytest.fail("mapped a short file")
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize(
    ("data", "number", "text"),
    [
        (b"", 0, "handed out no ring: the domain has a connection already"),
        (b"?", 0, "handed out no ring"),
        (b"\x01", 0, "handed out no ring"),
        (b"\x01", 1, "handed out no ring"),
        (b"\x01", 3, "is no ring page of 4096 bytes"),
    ],
)
async def test_what_is_no_ring_is_refused_and_nothing_stays_open(
    tmp_path: Path, data: bytes, number: int, text: str
) -> None:
    """A daemon that hands out too little, or a page that is none."""
    path = str(tmp_path / "ring")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)

        async def hand_out() -> None:
            await trio.lowlevel.wait_readable(listener)
            fds = [os.eventfd(0) for _ in range(number)]
            with listener.accept()[0] as control:
                socket.send_fds(control, [data], fds)
            for fd in fds:
                os.close(fd)

        before = os.listdir("/proc/self/fd")
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hand_out)
                with pytest.raises(Disconnected, match=text):
                    async with Client.connect_ring(path):
                        pytest.fail("a ring of nothing")
        assert os.listdir("/proc/self/fd") == before
