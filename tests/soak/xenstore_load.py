"""Mixed load on one xenstore-sim, round after round, and what it holds after each."""

from __future__ import annotations

import os
import re
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from tests.soak.handoffs import Use
from tests.xenstore_sim.replaceable import Replaceable, replaceable
from xenstore_sim.client import Client
from xenstore_sim.client.session import Transaction
from xenstore_sim.wire.errors import RequestRefused
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.perms import NodePerms

GUESTS = 4
"""That come and go in each round."""
_DEADLINE_S = 3600.0
_DESKS = 3
"""Clients of dom0 that stay."""
_ATTEMPTS = 1000
_PROBES = 60
"""Reads whose time is measured after each round, when nothing else runs."""
_COUNTS = re.compile(r"now: (\d+) connections, \d+ of them rings; (\d+) watches; (\d+) nodes")
_REQUESTS = re.compile(r"(?m)^requests: (\d+)")


@dataclass(frozen=True, slots=True)
class Round:
    """After one round."""

    daemon: Use
    milliseconds: float
    """of the round"""
    read_us: float
    """of one READ, the median of some"""
    cpu_us: float
    """of the daemon for a request of this round, its renewal included"""
    connections: int
    watches: int
    nodes: int
    requests: int
    """since the daemon began"""
    renewed: bool
    """another program took the daemon's place in the middle of it"""


async def rounds(requests: int, renew_every: int) -> AsyncGenerator[Round, None]:
    """A sample after each round, until so many requests were made.

    renew_every: rounds; in the last of each so many another program takes the daemon's place.
    """
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        async with aclosing(_rounds(Path(name) / "run", requests, renew_every)) as running:
            async for sample in running:
                yield sample


async def _rounds(rundir: Path, requests: int, renew_every: int) -> AsyncGenerator[Round, None]:
    async with replaceable(rundir, deadline_s=_DEADLINE_S) as daemon, AsyncExitStack() as stack:
        desks = [
            await stack.enter_async_context(Client.connect(daemon.socket_path))
            for _ in range(_DESKS)
        ]
        await desks[0].write("/sum", "0")
        # Parents that are made stay.
        await desks[0].mkdir("/desk")
        await desks[0].mkdir("/local/domain")
        number, done, cpu = 0, 0, 0.0
        while done < requests:
            renewed = number % renew_every == renew_every - 1
            began = time.monotonic()
            async with trio.open_nursery() as nursery:
                for desk, client in enumerate(desks):
                    nursery.start_soon(_desk_work, client, f"/desk/{desk}")
                    nursery.start_soon(_add, client, 10)
                for guest in range(GUESTS):
                    domid = DomId(1 + (number * GUESTS + guest) % 30_000)
                    nursery.start_soon(_guest_life, daemon, desks[0], domid, guest % 2 == 0)
                if renewed:
                    nursery.start_soon(daemon.renew)
            took = time.monotonic() - began
            before, (done, counts) = done, await _counts(desks[0])
            spent, cpu = cpu, _cpu_us(daemon.process.pid)
            yield Round(
                Use.of(daemon.process.pid),
                took * 1000,
                await _read_us(desks[0]),
                (cpu - spent) / (done - before),
                *counts,
                done,
                renewed,
            )
            number += 1
        expected = str(number * _DESKS * 10).encode()
        assert await desks[0].read("/sum") == expected, "a transaction was lost or done twice"


async def _desk_work(client: Client, path: str) -> None:
    """What a toolstack does: a device tree is written, looked at, changed and removed."""
    async with client.watch(path) as watch:
        await watch.get()
        for number in range(15):
            node = f"{path}/{number}"
            await client.write(node, "x" * number * 10)
            assert (await watch.get()).path == node
            await client.set_perms(node, NodePerms.of("n0", "r1"))
            await watch.get()
            assert await client.read(node) == b"x" * number * 10
            assert not await client.exists(f"{node}/missing")
        assert len(await client.directory(path)) == 15
        await client.rm(path)


async def _add(client: Client, times: int) -> None:
    """To one number with all others, who conflict with each other."""

    async def body(transaction: Transaction) -> None:
        await transaction.write("/sum", str(int(await transaction.read("/sum")) + 1))

    for _ in range(times):
        await client.transaction(body, attempts=_ATTEMPTS)


async def _guest_life(daemon: Replaceable, dom0: Client, domid: DomId, ring: bool) -> None:
    """A domain is introduced, uses its home over a ring or a socket, and is released."""
    home = f"/local/domain/{domid}"

    async def tree(transaction: Transaction) -> None:
        for name in ("name", "memory/target", "device/vbd/0/state", "control/shutdown"):
            await transaction.write(f"{home}/{name}", "1")
        await transaction.set_perms(home, NodePerms.of(f"n{domid}"))
        await transaction.set_perms(f"{home}/device", NodePerms.of(f"n{domid}"))

    await dom0.transaction(tree, attempts=_ATTEMPTS)
    await dom0.introduce(domid, 1, 1)
    kind, connect = ("ring", Client.connect_ring) if ring else ("domain", Client.connect)
    async with (
        connect(daemon.rundir / kind / str(domid)) as guest,
        guest.watch("device") as watch,
    ):
        await watch.get()
        for number in range(20):
            await guest.write("device/state", str(number))
            assert (await watch.get()).path == "device/state"
            assert await guest.read("device/state") == str(number).encode()
        with suppress(RequestRefused):
            await guest.write("/elsewhere", "")
        assert not await dom0.exists("/elsewhere")
    await dom0.release(domid)
    await dom0.rm(home)


async def _read_us(client: Client) -> float:
    """What one READ takes, when nothing else runs: the median of some."""
    times = []
    for _ in range(_PROBES):
        began = time.perf_counter()
        await client.read("/sum")
        times.append((time.perf_counter() - began) * 1e6)
    return statistics.median(times)


async def _counts(client: Client) -> tuple[int, tuple[int, int, int]]:
    """Requests so far; connections, watches and nodes now."""
    stats = await client.control("stats")
    counts, requests = _COUNTS.search(stats), _REQUESTS.search(stats)
    assert counts is not None, stats
    assert requests is not None, stats
    connections, watches, nodes = map(int, counts.groups())
    return int(requests[1]), (connections, watches, nodes)


def _cpu_us(pid: int) -> float:
    """CPU time of the process so far, whatever program it ran."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")
