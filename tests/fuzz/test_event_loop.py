"""Hostile clients on real sockets and rings, with the daemon's event loop turned by hand.

Turned by hand, so that what is measured is work done, not time: whether the loop comes to rest,
and how many requests of a flood are served while another client waits.
"""

import mmap
import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.fuzz.grammar import Grammar, RandomChoices
from tests.fuzz.soundness import PORTION_MAX, unsound, world_of
from xenstore_sim.event_loop import EventLoop
from xenstore_sim.ring.page import PAGE_SIZE, RING_SIZE
from xenstore_sim.ring.shared_ring import RING
from xenstore_sim.run_directory import RunDirectory
from xenstore_sim.store.daemon import Daemon
from xenstore_sim.store.outbox import REPLY_BYTES_MAX
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.layout import HEADER, PAYLOAD_MAX, Packet, encode_packet
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Op

ROUNDS_MAX = 20_000
DOM3 = DomId(3)
READ_ROOT = encode_packet(Op.READ, 7, 0, b"/\0")


class Turned:
    """A daemon's loop, and clients in the same thread."""

    def __init__(self, loop: EventLoop, clients: ExitStack) -> None:
        self.loop = loop
        self.daemon = loop.daemon
        self._clients = clients
        self.dom0 = self.connect()

    def connect(self, path: Path | None = None) -> socket.socket:
        """A client that does not wait."""
        client = self._clients.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        client.connect(str(path or self.loop.rundir.socket_path))
        client.setblocking(False)
        return client

    def settle(self) -> int:
        """Turns until nothing is left to do; how often. Fails when that never is."""
        for rounds in range(ROUNDS_MAX):
            if not self.loop._round():
                return rounds
        raise AssertionError(f"the loop is busy after {ROUNDS_MAX} rounds")

    def ask(self, op: Op, payload: bytes) -> bytes:
        """What dom0 hears, however many rounds it takes."""
        self.dom0.send(encode_packet(op, 7, 0, payload))
        return self.await_reply().payload

    def await_reply(self) -> Packet:
        """The one message that dom0 is sent."""
        decoder = Decoder()
        for _ in range(ROUNDS_MAX):
            self.loop._round()
            decoder.feed(receive(self.dom0))
            if (packet := decoder.next_packet()) is not None:
                return packet
        raise AssertionError("dom0 is not answered")

    def check(self) -> None:
        """All is well, and dom0 is served."""
        assert unsound(self.daemon) == ()
        assert self.ask(Op.GET_DOMAIN_PATH, b"5\0") == b"/local/domain/5\0"


def receive(client: socket.socket) -> bytes:
    """What is there."""
    received = b""
    try:
        while more := client.recv(65536):
            received += more
    except (BlockingIOError, ConnectionResetError):
        pass
    return received


def fill(client: socket.socket, requests: bytes) -> None:
    """Send this again and again until the socket takes no more."""
    try:
        while client.send(requests) == len(requests):
            pass
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        pass


@pytest.fixture
def turned(tmp_path: Path) -> Iterator[Turned]:
    with RunDirectory(tmp_path / "run") as rundir, ExitStack() as clients:
        loop = EventLoop(Daemon(), rundir)
        try:
            yield Turned(loop, clients)
        finally:
            loop.close()


def test_one_that_never_reads_is_read_no_more_and_costs_a_bounded_outbox(turned: Turned) -> None:
    turned.ask(Op.WRITE, b"/large\0" + bytes(4000))
    deaf = turned.connect()
    for _ in range(5):
        fill(deaf, encode_packet(Op.READ, 1, 0, b"/large\0"))
        turned.settle()
    (conn,) = (each for each in world_of(turned.daemon).connections.values() if len(each.outbox))
    assert len(conn.outbox) < REPLY_BYTES_MAX + PAYLOAD_MAX + HEADER.size
    assert conn.decoder.buffered <= PORTION_MAX
    turned.check()


def test_those_that_stop_in_the_middle_of_a_message_cost_what_they_sent(turned: Turned) -> None:
    for length in range(1, HEADER.size + PAYLOAD_MAX, 50):
        message = encode_packet(Op.WRITE, 1, 0, b"/a\0" + bytes(PAYLOAD_MAX - 3))
        turned.connect().send(message[:length])
    turned.settle()
    turned.check()
    buffered = [each.decoder.buffered for each in world_of(turned.daemon).connections.values()]
    assert max(buffered) < HEADER.size + PAYLOAD_MAX
    assert turned.daemon.statistics().requests.get(Op.WRITE, 0) == 0


def test_thousands_of_connections_leave_nothing(turned: Turned) -> None:
    turned.check()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(3000):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(turned.loop.rundir.socket_path))
            if number % 3:
                client.send(encode_packet(Op.WATCH, 1, 0, b"/\0t\0")[: number % 21])
            if number % 5 == 0:
                turned.settle()
    turned.settle()
    turned.check()
    assert turned.daemon.statistics().connections == 1
    assert turned.daemon.statistics().watches == 0
    assert len(os.listdir("/proc/self/fd")) == before


def test_one_that_only_stopped_sending_gets_its_replies(turned: Turned) -> None:
    half = turned.connect()
    half.send(READ_ROOT * 10)
    half.shutdown(socket.SHUT_WR)
    turned.settle()
    assert receive(half) == encode_packet(Op.READ, 7, 0, b"") * 10
    assert half.recv(1) == b""
    assert turned.daemon.statistics().connections == 1


def test_one_that_only_stopped_reading_is_ended(turned: Turned) -> None:
    half = turned.connect()
    half.shutdown(socket.SHUT_RD)
    fill(half, READ_ROOT)
    turned.settle()
    turned.check()
    assert turned.daemon.statistics().connections == 1


@pytest.mark.parametrize("floods", [1, 4])
def test_a_flood_delays_others_by_a_portion_of_each_flooder(turned: Turned, floods: int) -> None:
    flooders = [turned.connect() for _ in range(floods)]
    turned.settle()
    portion = PORTION_MAX // len(READ_ROOT) + 1
    for _ in range(20):
        for flooder in flooders:
            receive(flooder)
            fill(flooder, READ_ROOT * 400)
        before = turned.daemon.statistics().round_trips
        turned.ask(Op.READ, b"/\0")
        served = turned.daemon.statistics().round_trips - before - 1
        # A round that was under way, and the one that takes in the other's request.
        assert served <= 2 * floods * portion
    assert turned.daemon.statistics().round_trips > 20 * portion


@contextmanager
def hostile_page(turned: Turned, domid: DomId) -> Iterator[tuple[mmap.mmap, int]]:
    """The page of a domain that connects now, and its doorbell."""
    control = turned.connect(turned.loop.rundir.ring_socket_path(domid))
    turned.settle()
    _, fds, _, _ = socket.recv_fds(control, 1, 3)
    try:
        with mmap.mmap(fds[0], PAGE_SIZE) as page:
            yield page, fds[1]
    finally:
        for fd in fds:
            os.close(fd)
        control.close()
        turned.settle()


@pytest.mark.parametrize("seed", range(30))
def test_whatever_a_domain_writes_into_its_page_harms_nobody_else(
    turned: Turned, seed: int
) -> None:
    generator = random.Random(seed)
    grammar = Grammar(RandomChoices(generator), steps_max=4)
    turned.ask(Op.INTRODUCE, b"3\x001\x001\0")
    turned.ask(Op.MKDIR, b"/local/domain/3\0")
    turned.ask(Op.SET_PERMS, b"/local/domain/3\0n3\0")
    for _ in range(4):
        with hostile_page(turned, DOM3) as (page, doorbell):
            for _ in range(25):
                scribble(generator, grammar, page)
                os.write(doorbell, RING)
                turned.settle()
                turned.check()
        # One that broke the protocol stays ignored while its domain lives.
        turned.ask(Op.RELEASE, b"3\0")
        turned.ask(Op.INTRODUCE, b"3\x001\x001\0")
    assert turned.daemon.statistics().violations > 0


def scribble(generator: random.Random, grammar: Grammar, page: mmap.mmap) -> None:
    """Requests in their place, or indexes moved, or anything anywhere."""
    fields = memoryview(page).cast("I")
    try:
        match generator.randrange(8):
            case 0:
                at = generator.randrange(PAGE_SIZE - 32)
                page[at : at + 32] = generator.randbytes(32)
            case 1:
                fields[generator.randrange(512, 520)] = generator.choice((0, 1, 1024, 1025, 2**31))
            case 2 | 3:
                # All responses are taken.
                fields[2056 // 4] = fields[2060 // 4]
            case _:
                requests = b"".join(step.data for step in grammar.program().steps)
                produced = fields[2052 // 4]
                room = RING_SIZE - (produced - fields[2048 // 4]) % 2**32
                for number, byte in enumerate(requests[: max(room, 0)]):
                    page[(produced + number) % RING_SIZE] = byte
                fields[2052 // 4] = (produced + min(len(requests), max(room, 0))) % 2**32
    finally:
        fields.release()
