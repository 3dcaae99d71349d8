"""The daemon's time on real sockets, by a clock that jumps."""

import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.xenstore_sim.ring.raw_guest import raw_guest
from xenstore_sim.client import Client
from xenstore_sim.live_update import Replacement
from xenstore_sim.server import ServerHandle, Settings, serve
from xenstore_sim.signal_queue import SignalQueue
from xenstore_sim.store.faults import FaultPlan
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.perms import NodePerms

DOM3 = DomId(3)


async def started(nursery: trio.Nursery, rundir: Path, settings: Settings) -> ServerHandle:
    handle: ServerHandle = await nursery.start(partial(serve, rundir, settings=settings))
    return handle


async def test_a_late_event_comes_when_its_delay_is_over(
    nursery: trio.Nursery, tmp_path: Path, autojump_clock: MockClock
) -> None:
    faults = FaultPlan.parse("late=1,late_s=60,path=/a")
    handle = await started(nursery, tmp_path, Settings(faults=faults))
    async with Client.connect(handle.socket_path) as dom0, dom0.watch("/") as watch:
        assert (await watch.get()).path == "/"
        begin = trio.current_time()
        await dom0.write("/a", "v")
        assert trio.current_time() == begin
        assert (await watch.get()).path == "/a"
        assert trio.current_time() - begin == pytest.approx(60)


async def test_a_slow_answer_holds_up_its_connection_alone(
    nursery: trio.Nursery, tmp_path: Path, autojump_clock: MockClock
) -> None:
    faults = FaultPlan.parse("slow=1,slow_s=60,op=WRITE")
    handle = await started(nursery, tmp_path, Settings(faults=faults))
    async with (
        Client.connect(handle.socket_path) as slow,
        Client.connect(handle.socket_path) as other,
        trio.open_nursery() as writing,
    ):
        begin = trio.current_time()
        writing.start_soon(slow.write, "/a", "v")
        while not await other.exists("/a"):
            pass
        assert trio.current_time() == begin
    assert trio.current_time() - begin == pytest.approx(60)


async def test_a_slow_answer_comes_when_a_live_update_fails(
    nursery: trio.Nursery,
    tmp_path: Path,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The dice begin anew, and with them what they kept back is let go."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", "raise SystemExit(7)"])
    settings = Settings(faults=FaultPlan.parse("slow=1,slow_s=60,op=WRITE"))
    failed: list[str] = []
    replacement = partial(
        Replacement, nursery, SignalQueue(()), lambda reason, *, moved: failed.append(reason), None
    )
    handle: ServerHandle = await nursery.start(
        partial(serve, tmp_path, settings=settings, replacement=replacement)
    )
    async with (
        Client.connect(handle.socket_path) as slow,
        Client.connect(handle.socket_path) as other,
    ):
        begin = trio.current_time()
        with trio.fail_after(600):
            async with trio.open_nursery() as writing:
                writing.start_soon(slow.write, "/a", "v")
                while not await other.exists("/a"):
                    pass
                assert handle.live_update() is None
        assert trio.current_time() == begin
        # What asks all the time lets no time jump.
        while not failed:
            await other.read("/a")
    assert "does not take over, status 7" in failed[0]


async def test_what_the_program_itself_does_is_late_too(
    nursery: trio.Nursery, tmp_path: Path, autojump_clock: MockClock
) -> None:
    handle = await started(nursery, tmp_path, Settings())
    async with (
        Client.connect(handle.socket_path) as dom0,
        dom0.watch("@releaseDomain") as watch,
    ):
        await watch.get()
        await dom0.introduce(DOM3, 1, 1)
        # The loop waits without a deadline when the plan and the event come.
        await trio.testing.wait_all_tasks_blocked()
        handle.inject(FaultPlan.parse("late=1,late_s=60"))
        begin = trio.current_time()
        handle.domain_destroyed(DOM3)
        assert (await watch.get()).path == "@releaseDomain"
        assert trio.current_time() - begin == pytest.approx(60)


@asynccontextmanager
async def deaf_domain(handle: ServerHandle, dom0: Client) -> AsyncIterator[socket.socket]:
    """A domain that watches its home and did not take all events that came of that."""
    await dom0.write("/local/domain/3", "")
    await dom0.set_perms("/local/domain/3", NodePerms.of("n3"))
    await dom0.introduce(DOM3, 1, 1)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(str(handle.domain_socket_path(DOM3)))
        deaf.sendall(encode_packet(Op.WATCH, 1, 0, b"/local/domain/3\0t\0"))
        for number in range(300):
            await dom0.write(f"/local/domain/3/{'n' * 2000}{number}", "")
        yield deaf


def received(sock: socket.socket) -> bytes:
    """All that is there."""
    sock.setblocking(False)
    data = b""
    with suppress(BlockingIOError):
        while more := sock.recv(65536):
            data += more
    return data


async def test_a_domain_that_does_not_read_loses_events_after_20_seconds(
    nursery: trio.Nursery, tmp_path: Path, autojump_clock: MockClock
) -> None:
    handle = await started(nursery, tmp_path, Settings())
    async with Client.connect(handle.socket_path) as dom0, deaf_domain(handle, dom0) as deaf:
        await trio.sleep(19)
        assert handle.statistics().events_expired == 0
        await trio.sleep(2)
        after = handle.statistics()
        assert 0 < after.events_expired < after.events
        # It hears of what happens from now on: the rest of what was sent in part, and this.
        data = received(deaf)
        await dom0.write("/local/domain/3/last", "")
        while not data.endswith(b"/last\0t\0"):
            await trio.sleep(1)
            data += received(deaf)
        assert data.count(b"\0t\0") == after.events - after.events_expired + 1
        assert handle.statistics().slow_clients == 0


async def test_what_a_domain_is_told_while_it_takes_nothing_grows_old_too(
    nursery: trio.Nursery, tmp_path: Path, autojump_clock: MockClock
) -> None:
    handle = await started(nursery, tmp_path, Settings())
    async with Client.connect(handle.socket_path) as dom0, deaf_domain(handle, dom0):
        await trio.sleep(10)
        for number in range(7):
            await dom0.write(f"/local/domain/3/later{number}", "")
        await trio.sleep(15)
        expired = handle.statistics().events_expired
        assert expired > 0
        await trio.sleep(10)
        assert handle.statistics().events_expired == expired + 7


async def test_no_event_expires_when_the_timeout_is_off(
    nursery: trio.Nursery, tmp_path: Path, autojump_clock: MockClock
) -> None:
    handle = await started(nursery, tmp_path, Settings(watch_timeout_s=0))
    async with Client.connect(handle.socket_path) as dom0, deaf_domain(handle, dom0):
        await trio.sleep(1000)
        assert handle.statistics().events_expired == 0


async def test_events_expire_on_a_ring_as_on_a_socket(
    nursery: trio.Nursery, tmp_path: Path, autojump_clock: MockClock
) -> None:
    handle = await started(nursery, tmp_path, Settings())
    async with Client.connect(handle.socket_path) as dom0:
        await dom0.introduce(DOM3, 1, 1)
        await dom0.mkdir("/a")
        await dom0.set_perms("/a", NodePerms.of("r0"))
        async with raw_guest(handle.ring_socket_path(DOM3)) as guest:
            await guest.send(encode_packet(Op.WATCH, 1, 0, b"/a\0t\0"))
            while handle.statistics().watches == 0:
                await dom0.read("/a")
            # More than the ring holds.
            for number in range(10):
                await dom0.write(f"/a/{'n' * 300}{number}", "")
            await trio.sleep(19)
            assert handle.statistics().events_expired == 0
            await trio.sleep(2)
            assert handle.statistics().events_expired > 0


async def test_a_domain_that_begins_anew_while_it_is_sent_something_ends_nobody(
    nursery: trio.Nursery, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The request that does it waits for its own client to take replies, in the same round."""
    handle = await started(nursery, tmp_path, Settings())
    with connected(handle.socket_path) as dom0:
        dom0.send(encode_packet(Op.INTRODUCE, 1, 0, b"3\0001\0001\0"))
        dom0.send(encode_packet(Op.WRITE, 1, 0, b"/a\0" + bytes(4000)))
        dom0.send(encode_packet(Op.SET_PERMS, 1, 0, b"/a\0r0\0"))
        await trio.testing.wait_all_tasks_blocked()
        with connected(handle.domain_socket_path(DOM3)) as dom3:
            dom3.send(encode_packet(Op.WATCH, 1, 0, b"/a\0t\0"))
            await trio.testing.wait_all_tasks_blocked()
            assert received(dom0)
            assert received(dom3)
            handle.inject(FaultPlan.parse("slow=1,slow_s=60,op=WRITE;late=1,late_s=60,path=/a"))
            request = (
                encode_packet(Op.WRITE, 1, 0, b"/b\0"),
                encode_packet(Op.WRITE, 1, 0, b"/a\0" + bytes(4000)),
                # More than may wait: what follows is answered when these are taken.
                *(encode_packet(Op.READ, 1, 0, b"/a\0") for _ in range(20)),
                encode_packet(Op.INTRODUCE, 2, 0, b"3\0001\0001\0"),
            )
            dom0.send(b"".join(request))
            await trio.sleep(61)
            assert received(dom3) == encode_packet(Op.WATCH_EVENT, 0, 0, b"/a\0t\0")
            assert received(dom0).endswith(encode_packet(Op.INTRODUCE, 2, 0, b"OK\0"))
            # The watch went, and nothing of before is left.
            dom0.send(encode_packet(Op.WRITE, 1, 0, b"/a\0"))
            dom3.send(encode_packet(Op.READ, 3, 0, b"/a\0"))
            await trio.sleep(61)
            assert received(dom3) == encode_packet(Op.READ, 3, 0, b"")


def ask_without_a_pause(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        for _ in range(5000):
            client.sendall(encode_packet(Op.READ, 1, 0, b"/tool\0"))
            assert client.recv(100)


async def test_a_loop_that_lingers_lets_other_tasks_have_their_turn(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    handle: ServerHandle = await nursery.start(partial(serve, tmp_path, linger_s=0.001))
    busy = threading.Thread(target=ask_without_a_pause, args=(handle.socket_path,), daemon=True)
    busy.start()
    turns = 0
    while busy.is_alive():
        await trio.lowlevel.checkpoint()
        turns += 1
    assert handle.statistics().round_trips == 5000
    # Were the client served without an end, there would be one at its end.
    assert turns > 5


def connected(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    client.settimeout(30)
    return client


async def test_one_request_after_the_other_is_answered_in_order_to_who_reads_late(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Its own events in between, and the last replies cut where its socket was full."""
    handle = await started(nursery, tmp_path, Settings())
    expected = sent = b""
    with connected(handle.socket_path) as client, connected(handle.socket_path) as writer:
        client.send(encode_packet(Op.WATCH, 1, 0, b"/a\0t\0"))
        writer.send(encode_packet(Op.WRITE, 1, 0, b"/a\0" + bytes(3000)))
        await trio.testing.wait_all_tasks_blocked()
        for each in (client, writer):
            assert received(each)
        event = encode_packet(Op.WATCH_EVENT, 0, 0, b"/a\0t\0")
        for number in range(300):
            expected += encode_packet(Op.READ, number, 0, bytes(3000))
            client.send(encode_packet(Op.READ, number, 0, b"/a\0"))
            await trio.testing.wait_all_tasks_blocked()
        writer.send(encode_packet(Op.WRITE, 1, 0, b"/a\0" + bytes(3000)))
        await trio.testing.wait_all_tasks_blocked()
        while len(sent) < len(expected + event):
            await trio.lowlevel.wait_readable(client)
            sent += received(client)
    assert sent.replace(event, b"") == expected
