"""Domains on their rings: lives of connections, and what a hostile one costs the others."""

import os
import resource
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio

from tests.deadline import missed_after
from tests.xenstore_sim.client.transport_contract import DOMID, HOME, introduce
from tests.xenstore_sim.ring.raw_guest import RawGuest, raw_guest
from xenstore_sim.client import Client
from xenstore_sim.ring.byte_queue import BadIndex
from xenstore_sim.ring.page import Field
from xenstore_sim.ring.shared_ring import RING
from xenstore_sim.server import ServerHandle, Settings, serve
from xenstore_sim.wire.compat import COMPAT_4_20, COMPAT_4_22, Compat
from xenstore_sim.wire.errors import Disconnected
from xenstore_sim.wire.layout import HEADER, encode_packet
from xenstore_sim.wire.ops import Op

GET_HOME = encode_packet(Op.GET_DOMAIN_PATH, 7, 0, b"3\0")


@pytest.fixture
async def ring_path(server: ServerHandle, dom0: Client) -> Path:
    """The ring socket of a domain that is introduced and has a home."""
    await introduce(dom0, port=1)
    return server.ring_socket_path(DOMID)


@pytest.fixture
async def guest(ring_path: Path) -> AsyncIterator[RawGuest]:
    async with raw_guest(ring_path) as guest:
        yield guest


async def is_refused(path: Path) -> bool:
    """Whether a connection to this ring or domain socket gets nowhere."""
    connect = Client.connect_ring if path.parent.name == "ring" else Client.connect
    try:
        async with connect(path) as client:
            await client.get_domain_path(DOMID)
    except Disconnected:
        return True
    return False


async def connections_are(server: ServerHandle, dom0: Client, number: int) -> None:
    """Return when the daemon has so many."""
    while server.statistics().connections != number:
        await dom0.read("/")


# ---------------------------------------------------------------- lives


async def test_a_ring_is_handed_out_from_introduction_to_release(
    server: ServerHandle, dom0: Client
) -> None:
    path = server.ring_socket_path(DOMID)
    assert not path.exists()
    await introduce(dom0, port=1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with Client.connect_ring(path) as guest:
        assert await guest.get_domain_path(DOMID) == HOME
        await dom0.release(DOMID)
        assert not path.exists()
        with pytest.raises(Disconnected, match="the xenstore daemon closed the connection"):
            await guest.read(HOME)


async def test_a_domain_has_one_connection_over_all_transports(
    server: ServerHandle, dom0: Client, ring_path: Path
) -> None:
    stream_path = server.domain_socket_path(DOMID)
    async with Client.connect_ring(ring_path):
        assert await is_refused(ring_path)
        assert await is_refused(stream_path)
    await connections_are(server, dom0, 1)
    async with Client.connect(stream_path) as guest:
        await guest.get_domain_path(DOMID)
        assert await is_refused(ring_path)
    assert server.statistics().refused_connections == 3


@pytest.mark.parametrize("first", [1, 15, 16, 17, 31])
async def test_a_message_may_come_in_two_parts(
    server: ServerHandle, dom0: Client, guest: RawGuest, first: int
) -> None:
    # As long as a header: what lacks of it must not be taken for one.
    payload = b"/local/domain/3\0"
    assert len(payload) == HEADER.size
    message = encode_packet(Op.READ, 7, 0, payload)
    await guest.send(message[:first])
    while guest.page.fields[Field.REQ_CONS] != first:
        await dom0.read("/")
    await guest.send(message[first:] + GET_HOME)
    assert (await guest.receive()).payload == b""
    assert (await guest.receive()).payload == f"{HOME}\0".encode()
    assert server.statistics().violations == 0


async def test_the_end_of_the_handing_socket_ends_the_connection(
    server: ServerHandle, dom0: Client, ring_path: Path
) -> None:
    """As when the client's process dies, in the middle of a message."""
    async with raw_guest(ring_path) as guest:
        await guest.send(encode_packet(Op.WATCH, 1, 0, f"{HOME}\0t\0".encode()))
        await guest.receive()
        await guest.send(encode_packet(Op.TRANSACTION_START, 2, 0, b"\0") + GET_HOME[:9])
        assert server.statistics().watches == 1
        guest.control.shutdown(socket.SHUT_WR)
        await connections_are(server, dom0, 1)
    assert server.statistics().watches == 0
    async with Client.connect_ring(ring_path) as later:
        assert await later.get_domain_path(DOMID) == HOME


async def test_nothing_of_a_ring_stays_open(
    server: ServerHandle, dom0: Client, ring_path: Path
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        async with Client.connect_ring(ring_path) as guest:
            await guest.get_domain_path(DOMID)
        await connections_are(server, dom0, 1)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_the_end_of_the_daemon_ends_every_wait(tmp_path: Path) -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            handle: ServerHandle = await nursery.start(serve, tmp_path)
            async with Client.connect(handle.socket_path) as dom0:
                await introduce(dom0, port=1)
            path = handle.ring_socket_path(DOMID)
            async with Client.connect_ring(path) as guest, guest.watch(HOME) as watch:
                await watch.get()
                nursery.cancel_scope.cancel()
                with (
                    trio.CancelScope(shield=True),
                    pytest.raises(Disconnected, match="closed the connection"),
                ):
                    await watch.get()
        assert not path.exists()


@asynccontextmanager
async def client_of(guest: RawGuest) -> AsyncIterator[Client]:
    """A client on descriptors that were handed out already."""
    fds = guest.descriptors
    async with Client.from_ring(
        os.dup(fds.page), os.dup(fds.to_server), os.dup(fds.to_client)
    ) as client:
        yield client


async def test_a_second_introduction_is_noticed_and_the_page_serves_on(
    server: ServerHandle, dom0: Client, guest: RawGuest
) -> None:
    """Who used it is told; a new client on the same page needs no new handing-out."""
    async with client_of(guest) as first, first.watch(HOME):
        await dom0.introduce(DOMID, 1, 1)
        assert server.statistics().watches == 0
        with pytest.raises(Disconnected, match="began this ring anew"):
            await first.read(HOME)
    async with client_of(guest) as second:
        assert await second.get_domain_path(DOMID) == HOME


async def test_a_request_to_reconnect_is_answered_by_introduction_alone_with_a_ring(
    dom0: Client, guest: RawGuest
) -> None:
    guest.page.fields[Field.CONNECTION] = 1
    await guest.send(GET_HOME)
    assert (await guest.receive()).payload == b"/local/domain/3\0"
    assert guest.page.fields[Field.CONNECTION] == 1
    with suppress(BlockingIOError):
        os.read(guest.descriptors.to_client, 4096)
    await dom0.introduce(DOMID, 1, 1)
    assert guest.page.fields[Field.CONNECTION] == 0
    assert os.read(guest.descriptors.to_client, 4096) == RING


async def test_the_death_of_the_domain_hangs_up(server: ServerHandle, guest: RawGuest) -> None:
    server.domain_destroyed(DOMID)
    with pytest.raises(EOFError):
        await guest.receive()
    assert not server.ring_socket_path(DOMID).exists()


@pytest.mark.parametrize(
    ("compat", "offered", "shown"),
    [(COMPAT_4_20, None, 0), (COMPAT_4_22, None, 14), (COMPAT_4_22, 12, 12), (COMPAT_4_22, 0, 0)],
)
async def test_the_page_shows_the_features_of_the_release(
    nursery: trio.Nursery, tmp_path: Path, compat: Compat, offered: int | None, shown: int
) -> None:
    nursery.start_soon(missed_after, 60)
    handle: ServerHandle = await nursery.start(partial(serve, tmp_path, settings=Settings(compat)))
    if offered is not None:
        handle.ask(Op.SET_FEATURE, b"3\0%d\0" % offered)
    handle.ask(Op.INTRODUCE, b"3\0001\0001\0")
    async with raw_guest(handle.ring_socket_path(DOMID)) as guest:
        assert guest.page.fields[Field.SERVER_FEATURES] == shown
        guest.page.fields[Field.REQ_PROD] = 2000
        guest.ring()
        while not handle.statistics().violations:
            await trio.lowlevel.checkpoint()
        told = compat is COMPAT_4_20 or bool(shown & 2)
        assert guest.page.fields[Field.ERROR] == (2 if told else 0)


# ---------------------------------------------------------------- broken rings


def bad_request_index(guest: RawGuest) -> None:
    guest.page.fields[Field.REQ_PROD] = guest.page.fields[Field.REQ_CONS] + 1025


def bad_response_index(guest: RawGuest) -> None:
    guest.put(GET_HOME)
    guest.page.fields[Field.RSP_CONS] = guest.page.fields[Field.RSP_PROD] + 1


def oversize(guest: RawGuest) -> None:
    guest.put(HEADER.pack(Op.READ, 1, 0, 4097))


@pytest.mark.parametrize(
    ("breach", "error"), [(bad_request_index, 2), (bad_response_index, 2), (oversize, 3)]
)
async def test_a_broken_ring_is_ignored_until_its_domain_is_released(
    server: ServerHandle,
    dom0: Client,
    ring_path: Path,
    breach: Callable[[RawGuest], None],
    error: int,
) -> None:
    async with raw_guest(ring_path) as guest:
        await guest.send(encode_packet(Op.WATCH, 1, 0, b"/\0t\0"))
        await guest.receive()
        breach(guest)
        guest.ring()
        while not server.statistics().violations:
            await dom0.read("/")
        assert guest.page.fields[Field.ERROR] == error
        assert server.statistics().watches == 0
        await dom0.introduce(DOMID, 1, 1)
        assert guest.page.fields[Field.REQ_PROD] == 0
        await guest.send(GET_HOME)
        for _ in range(10):
            await dom0.read("/")
        assert guest.page.fields[Field.REQ_CONS] == 0, "not read"
        assert await dom0.is_domain_introduced(DOMID)
        assert await is_refused(ring_path)
    # Another process on the same broken domain is no better off.
    for _ in range(10):
        await dom0.read("/")
    assert await is_refused(ring_path)
    assert await is_refused(server.domain_socket_path(DOMID))
    await dom0.release(DOMID)
    await introduce(dom0, port=1)
    assert not await is_refused(ring_path)
    assert server.statistics().violations == 1


# ---------------------------------------------------------------- hostile rings


async def test_a_flood_of_doorbells_starves_nobody(dom0: Client, guest: RawGuest) -> None:
    async def flood() -> None:
        while True:
            guest.ring()
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        for _ in range(50):
            await dom0.read("/")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_doorbell_at_its_maximum_blocks_nobody(
    dom0: Client, guest: RawGuest, blocking: bool
) -> None:
    for fd in (guest.descriptors.to_server, guest.descriptors.to_client):
        os.set_blocking(fd, blocking)
    os.eventfd_write(guest.descriptors.to_server, 2**64 - 2)
    for _ in range(20):
        assert guest.put(GET_HOME) == len(GET_HOME)
        await dom0.read("/")
    # The domain made its own doorbell dumb; it can mend that.
    os.eventfd_read(guest.descriptors.to_server)
    guest.ring()
    for _ in range(20):
        assert (await guest.receive()).payload == b"/local/domain/3\0"


async def test_a_domain_that_closes_a_doorbell_hurts_only_itself(
    dom0: Client, guest: RawGuest
) -> None:
    """First its ear, so that ringing it fails; then its voice."""
    replaced = os.open("/dev/null", os.O_RDWR)
    os.dup2(replaced, guest.descriptors.to_client)
    os.close(replaced)
    for _ in range(5):
        await guest.send(GET_HOME)
        await dom0.read("/")
    while guest.page.fields[Field.RSP_PROD] != 5 * 32:
        await dom0.read("/")
    replaced = os.open("/dev/null", os.O_RDWR)
    os.dup2(replaced, guest.descriptors.to_server)
    os.close(replaced)
    await guest.send(GET_HOME)
    await dom0.read("/")


async def test_a_domain_that_takes_no_replies_is_not_read_and_goes_on_later(
    dom0: Client, guest: RawGuest
) -> None:
    await dom0.write(f"{HOME}/large", bytes(2000))
    read = encode_packet(Op.READ, 7, 0, f"{HOME}/large\0".encode())
    sent = 0

    async def send() -> None:
        nonlocal sent
        while sent < 200:
            await guest.send(read)
            sent += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        for _ in range(200):
            assert len(await dom0.read(f"{HOME}/large")) == 2000
        assert sent < 100, "the test needs a full ring"
        for _ in range(200):
            assert (await guest.receive()).payload == bytes(2000)


async def test_a_busy_ring_starves_nobody(dom0: Client, ring_path: Path) -> None:
    async with Client.connect_ring(ring_path) as guest, trio.open_nursery() as nursery:

        async def flood() -> None:
            while True:
                await guest.get_domain_path(DOMID)

        for _ in range(30):
            nursery.start_soon(flood)
        for _ in range(50):
            await dom0.read("/")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(12))
async def test_a_page_that_changes_all_the_time_costs_only_its_own_connection(
    server: ServerHandle, dom0: Client, ring_path: Path, seed: int
) -> None:
    """Indexes, contents and doorbells at random, between any two steps of the daemon."""
    random = Random(seed)
    async with raw_guest(ring_path) as guest:
        for _ in range(300):
            match random.randrange(5):
                case 0:
                    field = random.choice((Field.REQ_PROD, Field.RSP_CONS, Field.CONNECTION))
                    value = guest.page.fields[field] + random.choice((1, 7, 16, 400))
                    guest.page.fields[field] = value % 2**32
                case 1:
                    with suppress(BadIndex):
                        guest.put(random.choice((GET_HOME, GET_HOME[:5], random.randbytes(30))))
                case 2:
                    at = random.randrange(1024)
                    guest.page.requests[at : at + 1] = random.randbytes(1)
                case 3:
                    os.set_blocking(guest.descriptors.to_server, random.random() < 0.5)
                case 4:
                    os.write(guest.descriptors.to_server, RING)
            if random.random() < 0.3:
                await dom0.read("/")
        assert await dom0.directory("/") == ("tool", "local")
    await dom0.release(DOMID)
    await introduce(dom0, port=1)
    assert not await is_refused(ring_path)
    assert server.statistics().violations <= 1


async def test_what_is_said_on_the_handing_socket_is_nobodys_business(
    dom0: Client, guest: RawGuest
) -> None:
    guest.control.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            guest.control.send(GET_HOME * 100)
    for _ in range(20):
        await dom0.read("/")
    await guest.send(GET_HOME)
    assert (await guest.receive()).payload == b"/local/domain/3\0"


async def test_without_descriptors_no_ring_is_handed_out_and_the_rest_goes_on(
    server: ServerHandle, dom0: Client, ring_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    control = socket.socket(socket.AF_UNIX)
    with socket.socket() as highest:
        # One for the accepted socket, and some of those that a ring takes.
        bound = highest.fileno() + 3
    resource.setrlimit(resource.RLIMIT_NOFILE, (bound, before[1]))
    try:
        with control:
            control.setblocking(False)
            control.connect(str(ring_path))
            while not server.statistics().refused_connections:
                await dom0.read("/")
            assert control.recv(1) == b""
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert not await is_refused(ring_path)
