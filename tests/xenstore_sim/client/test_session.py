"""The client on a real daemon."""

import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from xenstore_sim.client import Client, Event, Transaction
from xenstore_sim.server import ServerHandle, serve
from xenstore_sim.wire.errors import (
    Disconnected,
    EventsLost,
    InvalidText,
    ProtocolViolation,
    RequestRefused,
    TransactionConflict,
)
from xenstore_sim.wire.names import DomId, Token
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.perms import NodePerms

DOM3, DOM4 = DomId(3), DomId(4)


async def test_nodes(dom0: Client) -> None:
    await dom0.write("/a/b", "text")
    await dom0.write("/a/c", b"\0\xff")
    await dom0.mkdir("/a/d")
    assert await dom0.read("/a/b") == b"text"
    assert await dom0.read("/a/c") == b"\0\xff"
    assert await dom0.directory("/a") == ("b", "c", "d")
    assert await dom0.directory("/a/d") == ()
    assert await dom0.exists("/a/b")
    await dom0.rm("/a/b")
    assert not await dom0.exists("/a/b")
    assert await dom0.read_or_none("/a/b") is None
    assert await dom0.read_or_none("/a/d") == b""


async def test_a_refusal_says_what_was_asked(dom0: Client) -> None:
    with pytest.raises(RequestRefused) as refused:
        await dom0.read("/missing")
    assert (refused.value.errno, refused.value.op, refused.value.path) == (
        Errno.ENOENT,
        Op.READ,
        "/missing",
    )
    with pytest.raises(RequestRefused, match="EINVAL"):
        await dom0.read_or_none("/not/a.path")
    with pytest.raises(RequestRefused, match="ENOENT"):
        await dom0.directory("/missing")


@pytest.mark.parametrize("path", ["/a\0/b", "\0", "/\u0142"])
async def test_a_path_that_would_arrive_as_another_is_not_sent(dom0: Client, path: str) -> None:
    with pytest.raises(InvalidText, match="cannot be sent to a xenstore"):
        await dom0.write(path, "value")
    with pytest.raises(InvalidText):
        async with dom0.watch("/a", Token(b"t\0x")):
            pytest.fail("a token of two strings")
    assert dom0.round_trips == 0


async def test_perms(dom0: Client) -> None:
    await dom0.mkdir("/a")
    await dom0.set_perms("/a", NodePerms.of("n0", "r5"))
    assert await dom0.get_perms("/a") == NodePerms.parse("n0,r5")


async def test_a_directory_longer_than_a_message(dom0: Client) -> None:
    names = tuple(f"child-{number:04}" for number in range(900))

    async def fill(tx: Transaction) -> None:
        for name in names:
            await tx.mkdir(f"/d/{name}")

    await dom0.transaction(fill)
    assert await dom0.directory("/d") == names


async def test_domains(server: ServerHandle, dom0: Client) -> None:
    assert not await dom0.is_domain_introduced(DOM3)
    await dom0.introduce(DOM3, 77, 9)
    assert await dom0.is_domain_introduced(DOM3)
    home = await dom0.get_domain_path(DOM3)
    assert home == "/local/domain/3"
    await dom0.mkdir(home)
    await dom0.set_perms(home, NodePerms.of("n3"))
    async with Client.connect(server.domain_socket_path(DOM3)) as dom3:
        await dom3.write("data", "mine")
        with pytest.raises(RequestRefused, match="EACCES"):
            await dom3.read("/tool")
        assert await dom0.read("/local/domain/3/data") == b"mine"
        await dom0.release(DOM3)
        with pytest.raises(Disconnected):
            await dom3.read("data")
    assert not await dom0.exists(home)


async def test_a_stub_domain(server: ServerHandle, dom0: Client) -> None:
    await dom0.introduce(DOM3, 1, 1)
    await dom0.introduce(DOM4, 1, 1)
    await dom0.write("/t", "v")
    await dom0.set_perms("/t", NodePerms.of("n0", "r3"))
    await dom0.set_target(DOM4, DOM3)
    async with Client.connect(server.domain_socket_path(DOM4)) as stub:
        assert await stub.read("/t") == b"v"


async def test_control(dom0: Client) -> None:
    assert await dom0.control("check") == "OK"
    with pytest.raises(RequestRefused) as refused:
        await dom0.control("nonsense", "argument")
    assert (refused.value.op, refused.value.path) == (Op.CONTROL, "nonsense")


async def test_every_request_is_counted(server: ServerHandle, dom0: Client) -> None:
    before = server.statistics().round_trips
    await dom0.transaction(lambda tx: tx.write("/a", "1"))
    await dom0.read("/a")
    assert dom0.round_trips == server.statistics().round_trips - before == 4


async def test_a_socket_that_is_connected_already(server: ServerHandle) -> None:
    stream = await trio.open_unix_socket(server.socket_path)
    async with Client.from_socket(stream) as client:
        assert await client.directory("/") == ("tool",)


async def test_many_tasks_share_a_connection(dom0: Client) -> None:
    async def own(number: int) -> None:
        await dom0.write(f"/n/{number}", str(number))
        assert await dom0.read(f"/n/{number}") == str(number).encode()

    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(own, number)
    assert len(await dom0.directory("/n")) == 200


async def test_more_is_sent_than_the_sockets_hold(dom0: Client) -> None:
    async def large(number: int) -> None:
        await dom0.write(f"/n/{number}", bytes(4000))
        assert await dom0.read(f"/n/{number}") == bytes(4000)

    async with trio.open_nursery() as nursery:
        for number in range(300):
            nursery.start_soon(large, number)


async def test_a_request_too_large_is_refused_here(dom0: Client) -> None:
    with pytest.raises(ProtocolViolation, match="a xenstore message holds 4096"):
        await dom0.write("/a", bytes(4096))
    await dom0.write("/a", bytes(4093))


# ---------------------------------------------------------------- transactions


async def test_a_transaction_is_seen_whole_or_not_at_all(dom0: Client) -> None:
    async with dom0.begin() as tx:
        await tx.write("/a/1", "x")
        await tx.write("/a/2", "y")
        assert not await dom0.exists("/a")
    assert await dom0.directory("/a") == ("1", "2")


async def test_a_block_that_raises_drops_its_transaction(dom0: Client) -> None:
    begun: list[Transaction] = []

    async def block() -> None:
        async with dom0.begin() as tx:
            begun.append(tx)
            await tx.write("/a", "x")
            raise KeyError

    with pytest.raises(KeyError):
        await block()
    assert not await dom0.exists("/a")
    with pytest.raises(RequestRefused, match="ENOENT"):
        await begun[0].read("/a")


async def test_a_conflict_is_tried_again(server: ServerHandle, dom0: Client) -> None:
    await dom0.write("/n", "0")
    tries = 0

    async def increment(tx: Transaction) -> int:
        nonlocal tries
        tries += 1
        value = int(await tx.read("/n"))
        if tries < 3:
            await dom0.write("/n", str(value + 10))
        await tx.write("/n", str(value + 1))
        return value + 1

    assert await dom0.transaction(increment) == 21
    assert await dom0.read("/n") == b"21"
    assert server.statistics().conflicts == 2


async def test_tries_have_a_bound(dom0: Client) -> None:
    async def never(tx: Transaction) -> None:
        await tx.read("/")
        await dom0.write("/", "")

    with pytest.raises(TransactionConflict, match="each of its 4 attempts"):
        await dom0.transaction(never, attempts=4)


async def test_another_refusal_is_not_tried_again(dom0: Client) -> None:
    tries = 0

    async def missing(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        await tx.read("/missing")

    with pytest.raises(RequestRefused, match="ENOENT"):
        await dom0.transaction(missing)
    assert tries == 1


# ---------------------------------------------------------------- watches


async def test_a_watch_speaks_at_once_and_then_of_changes(dom0: Client) -> None:
    async with dom0.watch("/a") as watch:
        first = await watch.get()
        assert first.path == "/a"
        await dom0.write("/a/b", "1")
        assert await watch.get() == Event("/a/b", first.token)


async def test_a_watch_is_an_iterator(server: ServerHandle, dom0: Client) -> None:
    async with (
        Client.connect(server.socket_path) as other,
        trio.open_nursery() as nursery,
        dom0.watch("/a", Token(b"mine")) as watch,
    ):
        paths: list[str] = []

        async def change() -> None:
            for number in range(3):
                await other.write(f"/a/{number}", "")

        nursery.start_soon(change)
        async for event in watch:
            assert event.token == b"mine"
            paths.append(event.path)
            if event.path == "/a/2":
                break
    assert paths == ["/a", "/a/0", "/a/1", "/a/2"]


async def test_a_watch_ends_with_its_block(server: ServerHandle, dom0: Client) -> None:
    async with dom0.watch("/a", Token(b"t")):
        assert server.statistics().watches == 1
        with pytest.raises(RequestRefused, match="EEXIST"):
            async with dom0.watch("/a", Token(b"t")):
                pytest.fail("the same watch twice")
    async with dom0.watch("/a", Token(b"t")):
        assert server.statistics().watches == 1


async def test_watches_do_not_mix(dom0: Client) -> None:
    async with dom0.watch("/a") as a, dom0.watch("/b") as b, dom0.watch("/") as root:
        for watch in (a, b, root):
            await watch.get()
        await dom0.write("/b/x", "")
        await dom0.write("/a/x", "")
        assert (await a.get()).path == "/a/x"
        assert (await b.get()).path == "/b/x"
        assert [(await root.get()).path, (await root.get()).path] == ["/b/x", "/a/x"]


async def test_unread_events_have_a_bound(dom0: Client) -> None:
    async with dom0.watch("/a", bound=3) as watch:
        for number in range(5):
            await dom0.write(f"/a/{number}", "")
        for _ in range(3):
            await watch.get()
        with pytest.raises(EventsLost, match="had 3 unread events"):
            await watch.get()


async def test_requests_go_on_while_a_watch_is_waited_for(dom0: Client) -> None:
    async with dom0.watch("/a") as watch, trio.open_nursery() as nursery:
        await watch.get()
        heard: list[str] = []

        async def wait() -> None:
            heard.append((await watch.get()).path)

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert await dom0.directory("/") == ("tool",)
        assert heard == []
        await dom0.write("/a", "")
    assert heard == ["/a"]


# ---------------------------------------------------------------- ends


async def test_without_a_daemon_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Disconnected, match=r"no xenstore daemon answers at .*/socket .*start one"):
        async with Client.connect(tmp_path / "socket"):
            pytest.fail("connected to nothing")


async def test_a_daemon_whose_queue_is_full_is_waited_for(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        with trio.move_on_after(1) as patience:
            async with Client.connect(path):
                pytest.fail("the queue was full")
        assert patience.cancelled_caught
        async with trio.open_nursery() as nursery:
            connected = trio.Event()

            async def connect() -> None:
                async with Client.connect(path):
                    connected.set()

            nursery.start_soon(connect)
            await trio.sleep(1)
            assert not connected.is_set()
            listener.accept()[0].close()
            await connected.wait()


async def test_an_error_in_the_block_comes_as_it_is(server: ServerHandle) -> None:
    with pytest.raises(KeyError):
        async with Client.connect(server.socket_path):
            raise KeyError


async def test_closing_ends_every_wait(server: ServerHandle) -> None:
    ended: list[str] = []
    async with Client.connect(server.socket_path) as client, trio.open_nursery() as nursery:

        async def read_events(path: str) -> None:
            async with client.watch(path) as watch:
                async for _ in watch:
                    pass

        async def wait(path: str) -> None:
            with pytest.raises(Disconnected, match="this client closed"):
                await read_events(path)
            ended.append(path)

        for path in ("/a", "/b", "/c"):
            nursery.start_soon(wait, path)
        await trio.testing.wait_all_tasks_blocked()
        client.close()
        client.close()
    assert sorted(ended) == ["/a", "/b", "/c"]
    with pytest.raises(Disconnected):
        await client.read("/")


async def test_the_end_of_the_daemon_ends_every_wait(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        handle: ServerHandle = await nursery.start(serve, tmp_path / "run")
        async with Client.connect(handle.socket_path) as client, client.watch("/a") as watch:
            await watch.get()
            await client.write("/a", "last")
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                assert (await watch.get()).path == "/a"
                with pytest.raises(Disconnected, match="daemon closed the connection"):
                    await watch.get()
                with pytest.raises(Disconnected):
                    await client.read("/")
