"""However the two ends of a ring get in each other's way, no doorbell is missed.

Both are the real ones, on a real page, with real doorbells. Before each access to an index and to
a doorbell the other end may go on.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.xenstore_sim.ring.interleaving import Interleaving, Lost
from xenstore_sim import ring_connection
from xenstore_sim.client import Client, ring_transport
from xenstore_sim.client.ring_transport import RingDescriptors, RingTransport
from xenstore_sim.event_loop import EventLoop
from xenstore_sim.ring import shared_ring
from xenstore_sim.ring.page import RingPage
from xenstore_sim.ring.shared_ring import HANDING_OUT, SharedRing
from xenstore_sim.ring_connection import RingConnection
from xenstore_sim.run_directory import RunDirectory
from xenstore_sim.server import ServerHandle
from xenstore_sim.store.daemon import Daemon
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.strings import terminated

DOMID = DomId(3)
HOME = "/local/domain/3"
ORDERS = 60
ENOUGH = 2000
"""Orders in which a planted mistake must show; the least of them does in one of ten."""
TASKS = 3
VALUE = b"v" * 1500
"""It does not fit into a ring."""
A_ROUNDS_BYTES = 200
"""Few, so that the daemon has to come back for more."""


@contextmanager
def scene(order: Interleaving, directory: Path) -> Iterator[Callable[[], None]]:
    """A daemon and a domain on its ring; what is yielded lets them talk to the end."""

    class Page(RingPage):
        def __init__(self, memory: memoryview) -> None:
            super().__init__(memory)
            self.fields = _Fields(self.fields, order)  # type: ignore[assignment]

    class Ring(SharedRing):
        def ring(self) -> None:
            order.step()
            super().ring()

    class Transport(RingTransport):
        async def wait(self, *, to_send: bool) -> None:
            # As trio waits: other tasks go on first, and may end this one's wait.
            await trio.testing.wait_all_tasks_blocked()
            if not self._more:
                doorbell = self._descriptors.to_client
                order.wait(lambda: _readable(doorbell))

        def _ring(self) -> None:
            order.step()
            super()._ring()

        def _clear_doorbell(self) -> bool:
            order.step()
            return super()._clear_doorbell()

    class Loop(EventLoop):
        over = False

        async def _wait(self) -> None:
            # As trio waits: while the set is readable it does not.
            waits_for = self._epoll.fileno()
            order.wait(lambda: self.over or bool(self._unfinished) or _readable(waits_for))
            await trio.lowlevel.checkpoint()

        def _round(self) -> bool:
            order.step()
            return super()._round()

    with pytest.MonkeyPatch.context() as patch, RunDirectory(directory, None, None) as rundir:
        patch.setattr(shared_ring, "RingPage", Page)
        patch.setattr(ring_transport, "RingPage", Page)
        patch.setattr(ring_connection, "SharedRing", Ring)
        patch.setattr(ring_connection, "_BYTES_PER_ROUND", A_ROUNDS_BYTES)
        loop = Loop(Daemon(), rundir)
        try:
            handle = ServerHandle(loop)
            handle.ask(Op.INTRODUCE, terminated("3", "1", "1"))
            handle.ask(Op.MKDIR, terminated(HOME))
            handle.ask(Op.SET_PERMS, terminated(HOME, "n3"))
            control = socket.socket(socket.AF_UNIX)
            control.connect(str(handle.ring_socket_path(DOMID)))
            loop._round()
            data, fds, _, _ = socket.recv_fds(control, len(HANDING_OUT), 3)
            assert data == HANDING_OUT
            transport = Transport(RingDescriptors(*fds), control)

            async def serve() -> None:
                with trio.CancelScope() as scope:
                    while not loop.over:
                        await loop._wait()
                        while loop._round():
                            pass
                    scope.cancel()

            def domain() -> None:
                try:
                    trio.run(_talk, transport)
                finally:
                    loop.over = True

            yield lambda: order.run(domain=domain, daemon=lambda: trio.run(serve))
        finally:
            loop.close()


class _Fields:
    """A page's fields, of which each access is a step."""

    def __init__(self, fields: memoryview, order: Interleaving) -> None:
        self._fields = fields
        self._order = order

    def __getitem__(self, field: int) -> int:
        self._order.step()
        value: int = self._fields[field]
        return value

    def __setitem__(self, field: int, value: int) -> None:
        self._order.step()
        self._fields[field] = value

    def release(self) -> None:
        self._fields.release()


def _readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


async def _talk(transport: RingTransport) -> None:
    """Requests and replies larger than the ring, several at a time, and an event for each."""
    async with Client.over(transport) as client, client.watch(f"{HOME}/x") as watch:
        await watch.get()

        async def write_and_read(task: int) -> None:
            for number in range(2):
                path = f"{HOME}/x/{task}/{number}"
                await client.write(path, VALUE)
                assert await client.read(path) == VALUE
            await client.write(f"{HOME}/last/{task}", VALUE)

        async def hear() -> None:
            heard = set()
            while len(heard) < 2 * TASKS:
                heard.add((await watch.get()).path)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear)
            for task in range(TASKS):
                nursery.start_soon(write_and_read, task)


def talk_in_orders(count: int, directory: Path) -> None:
    """Raises: Lost if a wake-up was."""
    for seed in range(count):
        try:
            with scene(Interleaving(seed), directory) as talk:
                talk()
        except* Lost as lost:
            raise Lost(f"with seed {seed}") from lost


def test_no_order_of_steps_loses_a_wake_up(tmp_path: Path) -> None:
    talk_in_orders(ORDERS, tmp_path)


def _receive_and_clear_late(transport: RingTransport) -> bytes:
    data = b"".join(iter(transport._end.read, b""))
    transport._clear_doorbell()
    if not data:
        raise BlockingIOError
    transport._ring()
    return data


def _receive_and_do_not_ring(transport: RingTransport) -> bytes:
    transport._clear_doorbell()
    if not (data := b"".join(iter(transport._end.read, b""))):
        raise BlockingIOError
    return data


def _serve_and_ring_for_replies_alone(ring: RingConnection, *, reads: bool) -> None:
    moved = ring._write()
    if reads and ring._read():
        moved = ring._write()
    ring._stay_awake()
    if moved:
        ring._shared.ring()


@pytest.mark.parametrize(
    ("end", "name", "planted"),
    [
        (RingTransport, "receive", _receive_and_clear_late),
        (RingTransport, "receive", _receive_and_do_not_ring),
        (RingConnection, "_serve", _serve_and_ring_for_replies_alone),
        (RingConnection, "_stay_awake", lambda ring: None),
    ],
    ids=["clears late", "is silent", "rings for replies alone", "does not come back"],
)
def test_a_planted_mistake_loses_one(
    end: type, name: str, planted: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(end, name, planted)
    with pytest.raises(Lost):
        talk_in_orders(ENOUGH, tmp_path)
