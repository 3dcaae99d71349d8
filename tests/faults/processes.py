"""Processes as an outsider sees them in /proc: children, orphans, who holds guest RAM."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.victim import Victim

_PR_SET_CHILD_SUBREAPER = 36
_WORDS = {
    Victim.DEVICE_MODEL: b"devicemodel",
    Victim.WAITER: b"devicemodel",
    Victim.MACHINE: b"toolstack.machine.emulator",
    Victim.MACHINE_WAITER: b"toolstack.machine.emulator",
    Victim.QEMU: b"qemu-system",
}


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    state: str
    command: bytes


def adopt_orphans() -> None:
    """From now on a process whose parent dies becomes a child of this one, and so is seen."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


def every_process() -> Iterator[Process]:
    return _those(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _those(pids: Iterable[int]) -> Iterator[Process]:
    """Those of them that are there."""
    for pid in pids:
        entry = Path(f"/proc/{pid}")
        with suppress(OSError, ValueError):
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes()
            yield Process(pid, int(after_name[1]), after_name[0], command)


def children(pid: int) -> tuple[Process, ...]:
    """Those it started, but for zombies. To read all of /proc would take too long here: what is
    to be struck may live for a tenth of a second."""
    pids: list[str] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            pids += (thread / "children").read_text().split()
    return tuple(child for child in _those(map(int, pids)) if child.state != "Z")


def find(victim: Victim, toolstack: int) -> tuple[int, int | None] | None:
    """The newest device model or machine of this toolstack: what the toolstack started, and what
    that started, the one inside if it is confined. None if there is none now."""
    started = [child.pid for child in children(toolstack) if _WORDS[victim] in child.command]
    if not started:
        return None
    newest = max(started)
    return newest, next((child.pid for child in children(newest)), None)


def descendants(root: int, but: frozenset[int]) -> tuple[Process, ...]:
    """Processes below `root` that run; zombies of its own are reaped. but: trees left out."""
    everyone = list(every_process())
    family, more = {root}, True
    while more:
        born = {p.pid for p in everyone if p.parent in family and p.pid not in but} - family
        family |= born
        more = bool(born)
    alive = []
    for process in everyone:
        if process.pid in family - {root}:
            if process.state == "Z" and process.parent == root:
                with suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)
            else:
                alive.append(process)
    return tuple(alive)


def holders(name: str) -> tuple[str, ...]:
    """Processes with a descriptor or a mapping of a memory file of that name."""
    found = []
    for process in every_process():
        if process.pid == os.getpid():
            continue
        with suppress(OSError):
            links = [os.readlink(fd) for fd in Path(f"/proc/{process.pid}/fd").iterdir()]
            maps = Path(f"/proc/{process.pid}/maps").read_text()
            if any(name in link for link in links) or name in maps:
                found.append(f"process {process.pid} {process.command[:60]!r} holds {name}")
    return tuple(found)


def descriptors(pid: int) -> int:
    """Open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def send(pid: int, number: signal.Signals) -> bool:
    """Whether the process was there to get the signal."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
