"""Our end of a ring against Debian's xenstored, and our pages against its."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.deadline import missed_after
from tests.oracle.real_xenstored import RealXenstored
from tests.xenstore_sim.client.transport_contract import DOMID, TransportContract, introduce
from tests.xenstore_sim.ring.pages import fields
from tests.xenstore_sim.ring.raw_guest import page_of, raw_guest
from xenstore_sim.client import Client
from xenstore_sim.ring.byte_queue import ByteQueue
from xenstore_sim.ring.page import Field, RingPage
from xenstore_sim.ring.shared_ring import RING
from xenstore_sim.server import ServerHandle, Settings, serve
from xenstore_sim.wire.compat import COMPAT_4_17
from xenstore_sim.wire.layout import HEADER, encode_packet
from xenstore_sim.wire.ops import Op

DEADLINE_S = 60


@pytest.fixture
def real() -> Iterator[RealXenstored]:
    with RealXenstored() as real:
        real.create_domain(DOMID)
        yield real


@pytest.fixture
async def dom0(real: RealXenstored, nursery: trio.Nursery) -> AsyncIterator[Client]:
    nursery.start_soon(missed_after, DEADLINE_S)
    async with Client.connect(real.socket_path) as client:
        yield client


class TestRealRing(TransportContract):
    """The client on the ring of the real daemon."""

    @pytest.fixture
    async def guest(self, real: RealXenstored, dom0: Client) -> AsyncIterator[Client]:
        ring = real.ring(DOMID)
        await introduce(dom0, ring.port)
        bell = os.dup(ring.doorbell.fileno())
        async with Client.from_ring(os.open(ring.page_path, os.O_RDWR), bell, bell) as client:
            yield client


# ---------------------------------------------------------------- the page's fields


class Stage:
    """A domain's page, bare, and dom0, on either daemon."""

    def __init__(self, page: RingPage, bell: int, dom0: Client, port: int) -> None:
        self.page = page
        self._bell = bell
        self._dom0 = dom0
        self._port = port
        self.states: list[str] = []

    def write(self, data: bytes) -> None:
        """Put a request into the ring, which has room for it."""
        queue = ByteQueue.requests(self.page)
        while data:
            data = data[queue.put(data) :]

    def set(self, field: Field, value: int) -> None:
        self.page.fields[field] = value

    async def introduce(self) -> None:
        """Introduce the domain, once more, and note what the fields hold then."""
        await self._dom0.introduce(DOMID, 1, self._port)
        self.states.append(fields(self.page))

    async def ring(self) -> None:
        """Ring the daemon, and note what the fields hold when it has done what it will."""
        os.write(self._bell, RING)
        # Each is answered in another turn of the daemon's loop, and each turn handles at least
        # one of the ring's requests, of which it holds 56.
        for _ in range(3 * 56):
            await self._dom0.read("/")
        self.states.append(fields(self.page))

    async def is_served(self) -> None:
        """Note whether a request is answered."""
        before = self.page.fields[Field.RSP_PROD]
        self.write(encode_packet(Op.GET_DOMAIN_PATH, 7, 0, b"3\0"))
        await self.ring()
        self.states.append(f"served: {self.page.fields[Field.RSP_PROD] != before}")


async def ordinary(stage: Stage) -> None:
    await stage.introduce()
    await stage.is_served()
    stage.write(encode_packet(Op.READ, 1, 0, b"/missing\0"))
    await stage.ring()
    await stage.introduce()
    await stage.is_served()


async def unread_answers(stage: Stage) -> None:
    """What is in the ring at the second introduction is lost in both directions."""
    await stage.introduce()
    for _ in range(5):
        await stage.is_served()
    stage.write(b"never seen")
    await stage.introduce()
    await stage.is_served()


async def reconnection(stage: Stage) -> None:
    await stage.introduce()
    stage.set(Field.CONNECTION, 1)
    await stage.ring()
    await stage.is_served()
    await stage.introduce()
    stage.set(Field.CONNECTION, 2)
    await stage.introduce()


async def foreign_fields(stage: Stage) -> None:
    """Fields that the daemon does not write keep what the guest put there."""
    await stage.introduce()
    stage.set(Field.EVTCHN_PORT, 99)
    stage.set(Field.SERVER_FEATURES, 1)
    stage.set(Field.ERROR, 2)
    await stage.is_served()
    await stage.introduce()


async def bad_request_index(stage: Stage) -> None:
    await stage.introduce()
    stage.set(Field.REQ_PROD, 1025)
    await stage.ring()
    await stage.introduce()
    await stage.is_served()
    await stage.introduce()


async def bad_own_index(stage: Stage) -> None:
    await stage.introduce()
    await stage.is_served()
    stage.set(Field.REQ_CONS, 1000)
    await stage.ring()


async def bad_response_index(stage: Stage) -> None:
    await stage.introduce()
    stage.set(Field.RSP_CONS, 1)
    await stage.ring()
    await stage.is_served()


async def reconnection_of_an_ignored_ring(stage: Stage) -> None:
    await stage.introduce()
    stage.set(Field.REQ_PROD, 1025)
    await stage.ring()
    stage.set(Field.CONNECTION, 1)
    await stage.introduce()


async def oversize(stage: Stage) -> None:
    await stage.introduce()
    stage.write(HEADER.pack(Op.READ, 1, 0, 4097) + b"/\0")
    await stage.ring()
    await stage.introduce()
    await stage.is_served()


async def far_indexes(stage: Stage) -> None:
    """The guest moved all indexes: legal, since none is far from its other."""
    await stage.introduce()
    for field in (Field.REQ_CONS, Field.REQ_PROD, Field.RSP_CONS, Field.RSP_PROD):
        stage.set(field, 2**32 - 10)
    await stage.is_served()
    await stage.is_served()


async def full_of_answers(stage: Stage) -> None:
    """The guest takes nothing: the daemon stops, and goes on when there is room."""
    await stage.introduce()
    for _ in range(56):
        stage.write(encode_packet(Op.GET_DOMAIN_PATH, 7, 0, b"3\0"))
    await stage.ring()
    for taken in (100, 512, 1024):
        stage.set(Field.RSP_CONS, taken)
        await stage.ring()


Scenario = Callable[[Stage], Awaitable[None]]
SCENARIOS: tuple[Scenario, ...] = (
    ordinary,
    unread_answers,
    reconnection,
    foreign_fields,
    bad_request_index,
    bad_own_index,
    bad_response_index,
    reconnection_of_an_ignored_ring,
    oversize,
    far_indexes,
    full_of_answers,
)


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_the_pages_fields_are_those_of_the_real_daemon(
    scenario: Scenario, real: RealXenstored, dom0: Client, nursery: trio.Nursery, tmp_path: Path
) -> None:
    ring = real.ring(DOMID)
    with page_of(ring.page) as page:
        theirs = Stage(page, ring.doorbell.fileno(), dom0, ring.port)
        await scenario(theirs)

    settings = Settings(COMPAT_4_17)
    handle: ServerHandle = await nursery.start(partial(serve, tmp_path, settings=settings))
    async with Client.connect(handle.socket_path) as our_dom0:
        # The page is there from the first introduction on, not before.
        await our_dom0.introduce(DOMID, 1, 1)
        async with raw_guest(handle.ring_socket_path(DOMID)) as guest:
            ours = Stage(guest.page, guest.descriptors.to_server, our_dom0, 1)
            await scenario(ours)
    assert ours.states == theirs.states
