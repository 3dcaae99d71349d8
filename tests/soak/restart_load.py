"""Clients of xenstore-sim that know what each answer and each event has to be."""

from __future__ import annotations

from random import Random
from typing import Protocol

import trio

from tests.xenstore_sim.replaceable import Replaceable
from xenstore_sim.client import Client
from xenstore_sim.client.session import Transaction
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.errors import RequestRefused
from xenstore_sim.wire.layout import Packet, encode_packet
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.perms import NodePerms

_NAMES = "abcd"
_GATHERED_MAX = 30
_ATTEMPTS = 1000
_LOOK_S = 0.05


class Worker(Protocol):
    """One of them; it fails at the first thing that is wrong."""

    stopped: bool
    rounds: int

    async def run(self) -> None:
        """Go on until stopped."""

    async def check(self, dom0: Client) -> None:
        """Look at what it leaves."""


class Desk:
    """A client of dom0 with a subtree of its own, a watch on it, and a model of it."""

    def __init__(self, daemon: Replaceable, random: Random, number: int) -> None:
        self.stopped, self.rounds = False, 0
        self._daemon = daemon
        self._random = random
        self._root = f"/load/desk{number}"
        self._values: dict[str, bytes] = {}

    async def run(self) -> None:
        """Change the subtree, alone and in transactions; each change is one event."""
        async with Client.connect(self._daemon.socket_path) as client:
            await client.mkdir(self._root)
            async with client.watch(self._root) as watch:
                await watch.get()
                while not self.stopped:
                    changed = await self._change(client)
                    for path in changed:
                        assert (await watch.get()).path == path
                    await self._look(client)
                    self.rounds += 1

    async def _change(self, client: Client) -> list[str]:
        """What is to be told of it."""
        path = f"{self._root}/{self._random.choice(_NAMES)}"
        value = b"%d" % self._random.getrandbits(30)
        match self._random.randrange(5):
            case 0 if path in self._values:
                await client.rm(path)
                del self._values[path]
                return [path]
            case 1:
                return await self._in_transaction(client, value)
            case 2 if path in self._values:
                await client.set_perms(path, NodePerms.of("n0", f"r{self._random.randrange(9)}"))
                return [path]
        await client.write(path, value)
        self._values[path] = value
        return [path]

    async def _in_transaction(self, client: Client, value: bytes) -> list[str]:
        paths = [f"{self._root}/{name}" for name in _NAMES]
        fails = self._random.random() < 0.3
        try:
            async with client.begin() as transaction:
                for path in paths:
                    await transaction.write(path, value)
                    assert await transaction.read(path) == value
                if fails:
                    raise _Abandoned
        except _Abandoned:
            return []
        self._values.update(dict.fromkeys(paths, value))
        return paths

    async def _look(self, client: Client) -> None:
        path = f"{self._root}/{self._random.choice(_NAMES)}"
        assert await client.read_or_none(path) == self._values.get(path)

    async def check(self, dom0: Client) -> None:
        """The subtree is what the model says."""
        names = await dom0.directory(self._root)
        found = {f"{self._root}/{name}": await dom0.read(f"{self._root}/{name}") for name in names}
        assert found == self._values


class _Abandoned(Exception):
    """The transaction is not to be committed."""


class Sums:
    """Clients that add to one number, in transactions that conflict with each other's."""

    def __init__(self, daemon: Replaceable, clients: int) -> None:
        self.stopped, self.rounds = False, 0
        self._daemon = daemon
        self._clients = clients

    async def run(self) -> None:
        """What was committed counts, and nothing twice."""
        async with trio.open_nursery() as nursery:
            for _ in range(self._clients):
                nursery.start_soon(self._run_one)

    async def _run_one(self) -> None:
        async with Client.connect(self._daemon.socket_path) as client:
            while not self.stopped:
                await client.transaction(self._add, attempts=_ATTEMPTS)
                self.rounds += 1

    @staticmethod
    async def _add(transaction: Transaction) -> None:
        await transaction.write("/load/sum", str(int(await transaction.read("/load/sum")) + 1))

    async def check(self, dom0: Client) -> None:
        """The number is the sum."""
        assert int(await dom0.read("/load/sum")) == self.rounds


class Domains:
    """Hears of each domain that comes or goes: such events are never taken together."""

    def __init__(self, daemon: Replaceable) -> None:
        self.stopped, self.rounds = False, 0
        self._daemon = daemon
        self._due = {b"@introduceDomain": 0, b"@releaseDomain": 0}
        self.ready = trio.Event()

    def changed(self, name: bytes) -> None:
        """A domain comes or goes now."""
        self._due[name] += 1

    async def run(self) -> None:
        """As many events as there were domains; to be stopped after those who make them."""
        decoder = Decoder()
        # Not the client of ours, which gives a path that waits once.
        stream = await trio.open_unix_socket(self._daemon.socket_path)
        async with stream:
            for name in self._due:
                self.changed(name)
                await stream.send_all(encode_packet(Op.WATCH, 1, 0, name + b"\0t\0"))
            while not self.stopped or any(self._due.values()):
                with trio.move_on_after(_LOOK_S):
                    decoder.feed(await stream.receive_some())
                    while (packet := decoder.next_packet()) is not None:
                        self._hear(packet)
                self.rounds += 1

    def _hear(self, packet: Packet) -> None:
        if packet.type != Op.WATCH_EVENT:
            assert packet.payload == b"OK\0", packet
            return
        name = packet.payload.split(b"\0")[0]
        self._due[name] -= 1
        assert self._due[name] >= 0, f"{name!r} is told once too often"
        if not any(self._due.values()):
            self.ready.set()

    async def check(self, dom0: Client) -> None:
        """Nothing is left, or `run` would not have ended."""


class Guest:
    """A domain that is introduced, lives on a ring or a socket, and is released, time and again."""

    def __init__(self, daemon: Replaceable, random: Random, domid: DomId, domains: Domains) -> None:
        self.stopped, self.rounds = False, 0
        self._daemon = daemon
        self._random = random
        self._domid = domid
        self._domains = domains
        self._home = f"/local/domain/{domid}"

    async def run(self) -> None:
        """Lives, one after the other."""
        await self._domains.ready.wait()
        async with Client.connect(self._daemon.socket_path) as dom0:
            while not self.stopped:
                await dom0.write(self._home, "")
                await dom0.set_perms(self._home, NodePerms.of(f"n{self._domid}"))
                self._domains.changed(b"@introduceDomain")
                await dom0.introduce(self._domid, 1, 1)
                await self._live(dom0)
                self._domains.changed(b"@releaseDomain")
                await dom0.release(self._domid)
                assert not await dom0.exists(self._home)

    async def _live(self, dom0: Client) -> None:
        ring = self._random.random() < 0.5
        kind, connect = ("ring", Client.connect_ring) if ring else ("domain", Client.connect)
        path = self._daemon.rundir / kind / str(self._domid)
        async with connect(path) as guest, guest.watch("a") as near, dom0.watch(self._home) as far:
            await near.get()
            await far.get()
            for _ in range(self._random.randrange(5, 100)):
                if self.stopped:
                    return
                value = b"v" * self._random.randrange(2000)
                await guest.write("a/b", value)
                assert (await near.get()).path == "a/b"
                assert (await far.get()).path == f"{self._home}/a/b"
                assert await guest.read("a/b") == await dom0.read(f"{self._home}/a/b") == value
                async with guest.begin() as transaction:
                    await transaction.write("c", value)
                assert (await far.get()).path == f"{self._home}/c"
                await self._is_kept_out(guest)
                self.rounds += 1

    async def _is_kept_out(self, guest: Client) -> None:
        try:
            await guest.write("/load/sum", "9")
        except RequestRefused:
            return
        raise AssertionError("a domain wrote to dom0's node")

    async def check(self, dom0: Client) -> None:
        """It is gone, with all it had."""
        assert not await dom0.exists(self._home)


class Pipeline:
    """Sends requests without a look at the answers, in portions of any size."""

    def __init__(self, daemon: Replaceable, random: Random) -> None:
        self.stopped, self.rounds = False, 0
        self._daemon = daemon
        self._random = random
        self._sent = 0
        self._answered = trio.Condition()

    async def run(self) -> None:
        """The answers come in order, each once."""
        stream = await trio.open_unix_socket(self._daemon.socket_path)
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._read, stream)
            while not self.stopped:
                burst = b"".join(self._request() for _ in range(self._random.randrange(1, 40)))
                while burst:
                    size = self._random.randrange(1, 400)
                    await stream.send_all(burst[:size])
                    burst = burst[size:]
                    await trio.lowlevel.checkpoint()
                async with self._answered:
                    while self._sent - self.rounds > _GATHERED_MAX:
                        await self._answered.wait()
            await stream.send_eof()

    def _request(self) -> bytes:
        self._sent += 1
        return encode_packet(Op.GET_DOMAIN_PATH, self._sent, 0, b"%d\0" % (self._sent % 30000))

    async def _read(self, stream: trio.SocketStream) -> None:
        decoder = Decoder()
        async for data in stream:
            decoder.feed(data)
            async with self._answered:
                while (packet := decoder.next_packet()) is not None:
                    self.rounds += 1
                    domid = b"%d" % (self.rounds % 30000)
                    assert packet[1:] == (self.rounds, 0, b"/local/domain/" + domid + b"\0")
                self._answered.notify_all()

    async def check(self, dom0: Client) -> None:
        """All are answered."""
        assert self.rounds == self._sent
