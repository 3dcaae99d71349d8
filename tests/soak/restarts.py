"""Renewals and restarts of xenstore-sim under random load: `python -m tests.soak.restarts`.

Every client knows what each answer and event must be. Meanwhile the daemon is replaced: by itself,
by another program, by programs that fail when they are tried or when they take over, one after
the other or at once. Each epoch ends with SIGTERM, and the next begins with the state file. Ends
with status 1 at the first reply, event, watch, transaction or node that is lost or wrong.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import trio

from tests.soak.restart_load import Desk, Domains, Guest, Pipeline, Sums, Worker
from tests.xenstore_sim.replaceable import TOOK_OVER, Replaceable, replaceable
from xenstore_sim.client import Client
from xenstore_sim.rehearsal import CHECK_OPTION
from xenstore_sim.wire.names import DomId

_OURS: Final = f'exec {sys.executable} -m xenstore_sim "$@"'
_CUT: Final = f"""exec {sys.executable} -c '
from xenstore_sim.succession import Succession
take = Succession.take
Succession.take = lambda self: (lambda state, fds: (state[:-9], fds))(*take(self))
from xenstore_sim.__main__ import main
main()' "$@\""""
_LATE: Final = {
    "ends": "exit 3",
    "is killed": "kill -9 $$",
    "has few descriptors": f"ulimit -n 12; {_OURS}",
    "has no memory": f"ulimit -v 20000; {_OURS}",
    "has a state that is cut": _CUT,
}
"""What programs do that are fine when they are tried."""
_DESKS, _GUESTS = 4, 4
_DEADLINE_S: Final = 600.0


@dataclass(slots=True)
class Tally:
    """What was done to the daemon."""

    done: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        """Once more."""
        self.done[what] = self.done.get(what, 0) + 1

    def __str__(self) -> str:
        return ", ".join(f"{what} {count}" for what, count in sorted(self.done.items()))


class Campaign:
    """One state file, and epochs of a daemon that lives from it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self._random = Random(seed)
        self._kept: dict[str, tuple[bytes, str]] | None = None
        self.tally = Tally()
        self.rounds = 0
        """Of all workers."""

    async def epoch(self, updates: int) -> None:
        """Serve from the state file, be replaced so often, stop."""
        run, state = self._directory / "run", self._directory / "state"
        options = ("--state", str(state), "-F", str(self._directory / "pid"))
        async with (
            replaceable(run, *options, deadline_s=_DEADLINE_S) as daemon,
            Client.connect(daemon.socket_path) as dom0,
        ):
            if self._kept is not None:
                assert await _tree(dom0) == self._kept, "the state file has another store"
            domains = Domains(daemon)
            workers = await self._workers(daemon, dom0, domains)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(domains.run)
                async with trio.open_nursery() as others:
                    for worker in workers:
                        others.start_soon(worker.run)
                    for _ in range(updates):
                        await self._disturb(daemon)
                        await _each_goes_on(workers)
                    for worker in workers:
                        worker.stopped = True
                domains.stopped = True
            for worker in workers:
                await worker.check(dom0)
            self.rounds += sum(worker.rounds for worker in workers)
            self._kept = await _tree(dom0)
        self.tally.count("stopped and started again")

    async def _workers(self, daemon: Replaceable, dom0: Client, domains: Domains) -> list[Worker]:
        if await dom0.exists("/load"):
            await dom0.rm("/load")
        await dom0.write("/load/sum", "0")
        await dom0.mkdir("/local/domain")
        workers: list[Worker] = [Pipeline(daemon, self._dice()), Sums(daemon, 3)]
        workers += [Desk(daemon, self._dice(), number) for number in range(_DESKS)]
        workers += [
            Guest(daemon, self._dice(), DomId(number + 1), domains) for number in range(_GUESTS)
        ]
        return workers

    def _dice(self) -> Random:
        return Random(self._random.random())

    async def _disturb(self, daemon: Replaceable) -> None:
        kinds: tuple[Callable[[Replaceable], object], ...] = (
            self._renewed, self._renewed, self._asked, self._tried_in_vain, self._failed,
            self._failed, self._twice_at_once,
        )  # fmt: skip
        await trio.sleep(self._random.random() / 10)
        work = self._random.choice(kinds)(daemon)
        await work  # type: ignore[misc]

    async def _renewed(self, daemon: Replaceable) -> None:
        os.kill(daemon.pid, signal.SIGUSR2)
        await _said(daemon, TOOK_OVER)
        self.tally.count("renewed itself")

    async def _asked(self, daemon: Replaceable) -> None:
        assert await self._control(daemon, _OURS) == "OK"
        await _said(daemon, TOOK_OVER)
        self.tally.count("replaced")

    async def _tried_in_vain(self, daemon: Replaceable) -> None:
        said = await self._control(daemon, "exit 3", tried="exit 3")
        assert "does not take over, status 3" in said, said
        await _said(daemon, said)
        self.tally.count("refused a program")

    async def _failed(self, daemon: Replaceable) -> None:
        what = self._random.choice(tuple(_LATE))
        said = await self._control(daemon, _LATE[what])
        before = daemon.pid
        daemon.moved()
        assert f"goes on as process {daemon.pid}" in said, said
        assert daemon.pid != before
        await _said(daemon, said)
        self.tally.count(f"outlived a program that {what}")

    async def _twice_at_once(self, daemon: Replaceable) -> None:
        """The second is refused, or comes right after the first."""
        os.kill(daemon.pid, signal.SIGUSR2)
        await trio.sleep(self._random.random() / 2)
        os.kill(daemon.pid, signal.SIGUSR2)
        await _said(daemon, TOOK_OVER)
        self.tally.count("asked twice")

    async def _control(self, daemon: Replaceable, text: str, tried: str = _OURS) -> str:
        path = trio.Path(self._directory / "program")
        await path.write_text(f'#!/bin/sh\ncase "$*" in *{CHECK_OPTION}*) {tried};; esac\n{text}\n')
        await path.chmod(0o700)
        async with Client.connect(daemon.socket_path) as dom0:
            while (said := await dom0.control("live-update", "-f", str(path))) != "OK":
                # An earlier one came twice.
                assert said == "live-update session already active.", said
                await trio.sleep(0.01)
            return await dom0.control("live-update", "-s")


async def _said(daemon: Replaceable, text: str) -> None:
    """Return when it said so; what else it says is of programs that fail."""
    while text not in await daemon.line():
        pass


async def _each_goes_on(workers: list[Worker]) -> None:
    before = [worker.rounds for worker in workers]
    while any(worker.rounds == was for worker, was in zip(workers, before, strict=True)):
        await trio.lowlevel.checkpoint()


async def _tree(dom0: Client, path: str = "/") -> dict[str, tuple[bytes, str]]:
    """Value and permissions of each node."""
    found = {path: (await dom0.read(path), str(await dom0.get_perms(path)))}
    for name in await dom0.directory(path):
        found |= await _tree(dom0, f"{path.rstrip('/')}/{name}")
    return found


async def campaign(seed: int, seconds: float, updates: int, tell: Callable[[str], None]) -> None:
    """At least two epochs, and so many that they take as long as that."""
    with tempfile.TemporaryDirectory(prefix="restarts-") as name:
        running = Campaign(Path(name), seed)
        end = time.monotonic() + seconds
        for number in itertools.count(1):
            await running.epoch(updates)
            tell(f"{running.rounds} rounds of load; {running.tally}")
            if number > 1 and time.monotonic() >= end:
                return


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.restarts", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="at least; 300")
    parser.add_argument("--updates", type=int, default=10, help="in an epoch; 10")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the clock's")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    trio.run(campaign, options.seed, options.seconds, options.updates, _tell)
    print("nothing was lost")


def _tell(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
