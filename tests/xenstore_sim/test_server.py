"""The daemon on real sockets."""

import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.deadline import missed_after
from xenstore_sim.client import Client
from xenstore_sim.server import DaemonRunning, ServerHandle, Settings, serve
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.wire.errors import Disconnected, RequestRefused
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.perms import NodePerms

DEADLINE_S = 60
DOM3 = DomId(3)


async def test_only_our_user_may_connect(server: ServerHandle) -> None:
    assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o600


async def test_a_second_daemon_is_refused(server: ServerHandle) -> None:
    with pytest.raises(DaemonRunning):
        await serve(server.socket_path.parent)


async def test_the_end_of_serve_removes_the_sockets(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        handle: ServerHandle = await nursery.start(serve, tmp_path)
        async with Client.connect(handle.socket_path) as dom0:
            await dom0.introduce(DOM3, 1, 1)
        assert handle.domain_socket_path(DOM3).is_socket()
        nursery.cancel_scope.cancel()
    assert not handle.socket_path.exists()
    assert not handle.domain_socket_path(DOM3).exists()


async def test_a_domains_socket_lives_from_introduction_to_release(
    server: ServerHandle, dom0: Client
) -> None:
    path = server.domain_socket_path(DOM3)
    assert not path.exists()
    await dom0.introduce(DOM3, 1, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with Client.connect(path) as dom3:
        assert await dom3.get_domain_path(DOM3) == "/local/domain/3"
        await dom0.release(DOM3)
        assert not path.exists()
        with pytest.raises(Disconnected):
            await dom3.read("/")


async def test_a_domain_has_one_connection_at_a_time(server: ServerHandle, dom0: Client) -> None:
    await dom0.introduce(DOM3, 1, 1)
    path = server.domain_socket_path(DOM3)
    async with Client.connect(path) as first:
        async with Client.connect(path) as second:
            with pytest.raises(Disconnected):
                await second.get_domain_path(DOM3)
        assert await first.get_domain_path(DOM3)
    assert server.statistics().refused_connections == 1
    while server.statistics().connections > 1:
        await dom0.read("/")
    async with Client.connect(path) as third:
        assert await third.get_domain_path(DOM3)


async def test_the_end_of_a_connection_drops_its_watches_and_leaves_its_domain(
    server: ServerHandle, dom0: Client
) -> None:
    await dom0.introduce(DOM3, 1, 1)
    await dom0.mkdir("/local/domain/3")
    await dom0.set_perms("/local/domain/3", NodePerms.of("n3"))
    async with Client.connect(server.domain_socket_path(DOM3)) as dom3, dom3.watch("x"):
        await dom3.write("x", "v")
        assert server.statistics().watches == 1
        dom3.close()
    while server.statistics().connections > 1:
        await dom0.read("/")
    assert server.statistics().watches == 0
    assert await dom0.is_domain_introduced(DOM3)
    assert await dom0.read("/local/domain/3/x") == b"v"


async def test_quotas_hold_for_domains_and_not_for_dom0(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    settings = Settings(quotas=Quotas(nodes=2))
    handle: ServerHandle = await nursery.start(partial(serve, tmp_path, settings=settings))
    async with Client.connect(handle.socket_path) as dom0:
        await dom0.introduce(DOM3, 1, 1)
        await dom0.mkdir("/p")
        await dom0.set_perms("/p", NodePerms.of("n3"))
        async with Client.connect(handle.domain_socket_path(DOM3)) as dom3:
            await dom3.mkdir("/p/1")
            with pytest.raises(RequestRefused, match="ENOSPC"):
                await dom3.mkdir("/p/2")
        await dom0.mkdir("/p/2")


async def test_the_hypervisor_says_who_exists_and_who_died(
    server: ServerHandle, dom0: Client
) -> None:
    server.set_domain_exists(lambda domid: domid != 9)
    with pytest.raises(RequestRefused, match="EINVAL"):
        await dom0.introduce(DomId(9), 1, 1)
    await dom0.introduce(DOM3, 1, 1)
    async with dom0.watch("@releaseDomain") as watch:
        await watch.get()
        server.domain_shut_down(DOM3)
        await watch.get()
        assert await dom0.is_domain_introduced(DOM3)
        server.domain_destroyed(DOM3)
        await watch.get()
        assert not await dom0.is_domain_introduced(DOM3)


async def test_a_thousand_pipelined_requests_are_all_answered(server: ServerHandle) -> None:
    stream = await trio.open_unix_socket(server.socket_path)
    async with stream:
        request = b"".join(encode_packet(Op.READ, n, 0, b"/tool\0") for n in range(1000))
        expected = b"".join(encode_packet(Op.READ, n, 0, b"") for n in range(1000))
        found = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, request)
            while len(found) < len(expected):
                found += await stream.receive_some()
        assert found == expected


async def test_a_client_that_reads_late_gets_everything(server: ServerHandle, dom0: Client) -> None:
    """Far more than the sockets hold: the daemon stops reading and goes on later."""
    await dom0.write("/a", bytes(4000))
    stream = await trio.open_unix_socket(server.socket_path)
    async with stream, trio.open_nursery() as nursery:
        request = encode_packet(Op.READ, 7, 0, b"/a\0")
        nursery.start_soon(stream.send_all, request * 2000)
        for _ in range(50):
            assert await dom0.read("/a") == bytes(4000), "others are served meanwhile"
        size = 0
        while size < 2000 * 4016:
            size += len(await stream.receive_some())
    assert size == 2000 * 4016


async def test_who_had_to_wait_for_the_reader_of_its_events_is_read_again(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Its own output was taken long ago: nothing but its next request is left to be seen."""
    nursery.start_soon(missed_after, DEADLINE_S)
    settings = Settings(quotas=Quotas(outstanding=1))
    handle: ServerHandle = await nursery.start(partial(serve, tmp_path, settings=settings))
    late = await trio.open_unix_socket(handle.socket_path)
    async with late, Client.connect(handle.socket_path) as dom0:
        await dom0.introduce(DOM3, 1, 1)
        await dom0.write("/a", "")
        await dom0.set_perms("/a", NodePerms.of("n3"))
        await late.send_all(encode_packet(Op.WATCH, 1, 0, b"/\0t\0"))
        for number in range(200):
            await dom0.write(f"/{'n' * 2000}{number}", "")
        async with Client.connect(handle.domain_socket_path(DOM3)) as dom3:
            await dom3.write("/a", "v")
            async with trio.open_nursery() as reading:
                reading.start_soon(dom3.read, "/a")
                await trio.testing.wait_all_tasks_blocked()
                data = b""
                while not data.endswith(b"/a\0t\0"):
                    data += await late.receive_some()


async def test_a_client_that_never_reads_its_events_is_ended_and_counted(
    server: ServerHandle, dom0: Client
) -> None:
    deaf = await trio.open_unix_socket(server.socket_path)
    async with deaf:
        for number in range(50):
            token = b"%d" % number + b"x" * 3900
            await deaf.send_all(encode_packet(Op.WATCH, 1, 0, b"/\0" + token + b"\0"))
        number = 0
        while not server.statistics().slow_clients:
            await dom0.write(f"/{number}", "")
            number += 1
        assert number < 200
        assert server.statistics().watches == 0


async def test_an_oversize_message_ends_only_its_own_connection(
    server: ServerHandle, dom0: Client
) -> None:
    stream = await trio.open_unix_socket(server.socket_path)
    async with stream:
        await stream.send_all(bytes.fromhex("02000000 01000000 00000000 01100000"))
        assert await stream.receive_some() == b""
    assert await dom0.directory("/") == ("tool",)
    assert server.statistics().violations == 1


async def test_a_busy_client_does_not_starve_the_others(server: ServerHandle, dom0: Client) -> None:
    busy = await trio.open_unix_socket(server.socket_path)
    async with busy, trio.open_nursery() as nursery:
        request = encode_packet(Op.READ, 1, 0, b"/\0") * 500

        async def flood() -> None:
            while True:
                await busy.send_all(request)

        async def drain() -> None:
            while True:
                await busy.receive_some()

        nursery.start_soon(flood)
        nursery.start_soon(drain)
        for _ in range(20):
            await dom0.read("/")
        nursery.cancel_scope.cancel()
    assert dom0.round_trips == 20


async def test_a_client_that_leaves_without_reading_is_forgotten(
    server: ServerHandle, dom0: Client
) -> None:
    await dom0.write("/a", bytes(4000))
    for replies in (1, 200):
        stream = await trio.open_unix_socket(server.socket_path)
        await stream.send_all(encode_packet(Op.READ, 1, 0, b"/a\0") * replies)
        await dom0.read("/a")
        await stream.aclose()
        while server.statistics().connections > 1:
            await dom0.read("/")
    assert server.statistics().slow_clients == 0


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    """A bound that a test can reach."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as highest:
        bound = highest.fileno() + 24
    resource.setrlimit(resource.RLIMIT_NOFILE, (bound, before[1]))
    yield bound
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_file_where_a_domains_socket_belongs_costs_that_domain_alone(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    said: list[str] = []
    server: ServerHandle = await nursery.start(partial(serve, tmp_path, tell=said.append))
    in_the_way = server.domain_socket_path(DomId(5))
    in_the_way.write_text("mine")
    async with Client.connect(server.socket_path) as dom0:
        await dom0.introduce(DomId(5), 1, 1)
        await dom0.introduce(DomId(6), 1, 1)
        async with Client.connect(server.domain_socket_path(DomId(6))):
            pass
        assert said == [f"domain 5 cannot connect: Address already in use: {in_the_way}"]
        await dom0.release(DomId(5))
        assert in_the_way.read_text() == "mine"
        in_the_way.unlink()
        await dom0.introduce(DomId(5), 1, 1)
        async with Client.connect(in_the_way):
            pass


async def test_without_descriptors_a_domain_is_opened_later(
    server: ServerHandle, dom0: Client, few_descriptors: int
) -> None:
    hoard: list[socket.socket] = []
    # An end to give back: a client of the daemon, so that the daemon learns of it.
    client = await trio.open_unix_socket(server.socket_path)
    await dom0.read("/")
    try:
        with suppress(OSError):
            while True:
                hoard.append(socket.socket(socket.AF_UNIX))
        await dom0.introduce(DOM3, 1, 1)
        await dom0.introduce(DomId(4), 1, 1)
        assert not server.domain_socket_path(DOM3).exists()
        await dom0.release(DomId(4))
        hoard.pop().close()
        await client.aclose()
        while not server.domain_socket_path(DOM3).exists():
            await dom0.read("/")
    finally:
        for each in hoard:
            each.close()
    async with Client.connect(server.domain_socket_path(DOM3)) as dom3:
        assert await dom3.get_domain_path(DOM3)


def connected_last(path: Path, spares: list[socket.socket]) -> socket.socket:
    """A client, by a spare's descriptor where there is no other: then the daemon finds none."""
    try:
        client = socket.socket(socket.AF_UNIX)
    except OSError:
        spares.pop().close()
        client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


async def test_without_descriptors_connections_wait_and_the_rest_goes_on(
    server: ServerHandle, dom0: Client, few_descriptors: int
) -> None:
    clients: list[socket.socket] = []
    spares = [socket.socket(socket.AF_UNIX)]
    try:
        while not server.statistics().refused_connections:
            clients.append(connected_last(server.socket_path, spares))
            # All in one process, so that a descriptor of ours is one less for the daemon.
            for _ in range(3):
                await dom0.read("/")
        assert await dom0.directory("/") == ("tool",)
        for client in clients[: len(clients) // 2]:
            client.close()
        while server.statistics().connections > len(clients) // 2 + 2:
            await dom0.read("/")
        last = clients[-1]
        last.setblocking(False)
        last.send(encode_packet(Op.READ, 1, 0, b"/\0"))
        await trio.lowlevel.wait_readable(last)
        assert last.recv(100) == encode_packet(Op.READ, 1, 0, b"")
    finally:
        for client in clients + spares:
            client.close()


async def test_the_operator_is_told_once_that_descriptors_ran_out(
    nursery: trio.Nursery, tmp_path: Path, few_descriptors: int
) -> None:
    said: list[str] = []
    server: ServerHandle = await nursery.start(partial(serve, tmp_path, tell=said.append))
    clients: list[socket.socket] = []
    spares = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
    async with Client.connect(server.socket_path) as dom0:
        try:
            for _ in range(2):
                before = server.statistics().refused_connections
                while server.statistics().refused_connections == before:
                    clients.append(connected_last(server.socket_path, spares))
                    for _ in range(3):
                        await dom0.read("/")
                for client in clients[:2]:
                    client.close()
                del clients[:2]
                await dom0.read("/")
        finally:
            for client in clients + spares:
                client.close()
    assert [text.split(":")[0] for text in said] == ["no descriptor is left for connections"]


def test_a_daemon_inside_a_program_costs_it_no_migration_format() -> None:
    """What hands state over belongs to the command, which other programs that serve never run."""
    program = (
        "import sys, xenstore_sim.server, toolstack.create\n"
        "print(sorted(name for name in sys.modules if 'migration' in name or name == 'msgspec'))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert loaded == "[]\n"


def test_the_command_loads_the_migration_format_before_it_serves() -> None:
    """Later there may be no descriptor left to load it with."""
    program = (
        "import sys, xenstore_sim.__main__\n"
        "before = set(sys.modules)\n"
        "import xenstore_sim.live_update, xenstore_sim.state_file, xenstore_sim.handover_codec\n"
        "print(sorted(set(sys.modules) - before))"
    )
    missing = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert missing == "[]\n"
