"""Handoffs one after another, and what daemon and toolstack hold after each."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import trio

from handoff.store_values import Carrier
from tests.faults.xenstored import Xenstored
from toolstack.console import Console
from toolstack.create import Request, create
from toolstack.demo import builtin_guest
from toolstack.guest_run import Patience
from toolstack.machine.none import NoMachine
from toolstack.tee import Tee
from xenstore_sim.client import Client

_NOWHERE = -1
"""The `none` machine has no console, so nothing is written to it."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a process holds."""

    rss_kib: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Use:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        return cls(
            int(status["VmRSS"].split()[0]),
            len(os.listdir(f"/proc/{pid}/fd")),
            int(status["Threads"]),
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """After one handoff."""

    milliseconds: float
    """from the configuration to the end of tearing it down"""
    cpu_milliseconds: float
    """of all its processes, xenstored too: what the rest of the machine has less part in"""
    daemon: Use
    toolstack: Use
    nodes: int
    """in the daemon's tree, looked at now and then; -1: not this time"""


async def handoffs(count: int, nodes_every: int = 100) -> AsyncGenerator[Sample, None]:
    """A sample after each of `count` whole handoffs on one daemon, by this process."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        daemon = Xenstored(Path(name) / "store", Path(name) / "log")
        await daemon.start()
        try:
            async with Client.connect(daemon.rundir / "socket") as onlooker:
                idle = sys.maxsize
                for number in range(count):
                    began, cpu_began = time.monotonic(), _cpu_s(daemon.pid)
                    await create(
                        _request(daemon.rundir, number),
                        Tee(()),
                        Console(_NOWHERE),
                    )
                    took, cpu = time.monotonic() - began, _cpu_s(daemon.pid) - cpu_began
                    # It answers after it has noticed the connections that ended before.
                    await onlooker.exists("/tool")
                    idle = min(idle, await daemon.settled_descriptors(idle))
                    used = Use.of(daemon.pid), Use.of(os.getpid())
                    looked = len(await daemon.tree()) if number % nodes_every == 0 else -1
                    yield Sample(took * 1000, cpu * 1000, *used, looked)
        finally:
            with trio.CancelScope(shield=True):
                await daemon.stop()


def _cpu_s(daemon: int) -> float:
    """Seconds that this process, its reaped children and the daemon have computed."""
    ours = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    its_ns = int(Path(f"/proc/{daemon}/schedstat").read_text().split()[0])
    return sum(use.ru_utime + use.ru_stime for use in ours) + its_ns / 1e9


def _request(store: Path, number: int) -> Request:
    return Request(
        config=builtin_guest(),
        machine=NoMachine(hold_s=0.0),
        patience=Patience(None, None),
        carrier=list(Carrier)[number % len(Carrier)],
        xenstore=store,
    )
