"""What is tried on a real xenstored is tried on the simulated one first: with the same outcome."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from handoff.keys import StoreWrite, owned_by, private, read_by
from toolstack.isolation.attempt import Stopped
from toolstack.isolation.scene import Scene, scene
from toolstack.isolation.stubdom.attempt import Claim, Group
from toolstack.isolation.stubdom.attempts import ATTEMPTS
from toolstack.isolation.stubdom.hands import Hands
from toolstack.isolation.stubdom.order import Order, Place, Whom
from toolstack.isolation.stubdom.privcmd import Privcmd
from toolstack.isolation.voice import Refused, Voice
from toolstack.isolation.wire import SocketWire
from xenstore_sim.wire.names import DOM0, AbsolutePath, DomId, home

XENSTORE = tuple(attempt for attempt in ATTEMPTS if attempt.group is Group.XENSTORE)
TURN_S = 0.02


def nodes(stage: Scene) -> Iterator[StoreWrite]:
    around = stage.around
    for number in (around.target, around.bystander, DOM0):
        domid = DomId(number)
        for name in ("secret", "scratch", "spare", "beat"):
            path = AbsolutePath(f"{home(domid)}/data/{name}")
            yield StoreWrite(path, b"0", owned_by(domid))
    stubdom = DomId(around.stubdom)
    own = AbsolutePath(f"{home(stubdom)}/direct-boot/state")
    yield StoreWrite(own, b"1 published", read_by(stubdom))
    other = AbsolutePath(f"/local/domain/0/direct-boot/{around.bystander}/direct-boot/state")
    yield StoreWrite(other, b"1 published", private())


async def beat(stage: Scene) -> None:
    turn = 0
    while True:
        turn += 1
        for domid in (DOM0, stage.around.target, stage.around.bystander):
            await stage.store.client.write(f"/local/domain/{domid}/data/beat", str(turn))
        await trio.sleep(TURN_S)


@contextmanager
def hands(stage: Scene, connection: socket.socket) -> Iterator[Hands]:
    around = stage.around
    order = Order(
        *(Place.STUB_DOMAIN, around.stubdom, around.target, around.bystander, around.unborn),
        *("0", (1, 1)),
    )
    with connection:
        # Nothing here makes a hypercall: it is not opened.
        privcmd = Privcmd.__new__(Privcmd)
        yield Hands(order, around.stubdom, privcmd, Voice(SocketWire(connection)))


async def test_a_stub_domain_gets_what_is_its_right_and_nothing_else() -> None:
    found: dict[tuple[str, Whom], str] = {}

    def make_all(with_hands: Hands) -> None:
        for attempt in XENSTORE:
            for whom in attempt.of:
                try:
                    attempt.make(with_hands, whom)
                    found[attempt.name, whom] = "done"
                except Refused as refused:
                    found[attempt.name, whom] = refused.errno
                except Stopped as stopped:
                    found[attempt.name, whom] = str(stopped)

    async with scene() as stage, trio.open_nursery() as nursery:
        await stage.store.write_all(tuple(nodes(stage)))
        nursery.start_soon(beat, stage)
        connection = await stage.connect(privileged=False)
        (fd,) = connection.descriptors
        with hands(stage, socket.socket(fileno=socket.dup(fd))) as with_hands:
            connection.close()
            await trio.to_thread.run_sync(make_all, with_hands)
        nursery.cancel_scope.cancel()
    claims = {attempt.name: attempt.target for attempt in XENSTORE}
    for (name, whom), outcome in found.items():
        if whom is Whom.TARGET and claims[name] is not Claim.FORBIDDEN:
            assert outcome == "done", name
        else:
            assert outcome in ("EACCES", "ENOENT", "no event"), (name, whom, outcome)
