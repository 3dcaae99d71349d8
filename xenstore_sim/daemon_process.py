"""A daemon as a process of its own: signals, and who is told that it serves."""

import os
import signal
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import click
import trio

from xenstore_sim.handover import Handover
from xenstore_sim.live_update import Replacement
from xenstore_sim.readiness import notify_manager, pid_file, report_ready
from xenstore_sim.server import ServerHandle, Settings, serve
from xenstore_sim.signal_queue import SignalQueue
from xenstore_sim.standard_error import tell
from xenstore_sim.state_file import StateFile

_LINGER_S: Final = 0.001
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the daemon serves and what it leaves there."""

    rundir: Path
    socket: Path | None
    trace_file: str | None
    pid_file: Path | None
    ready_fd: int | None
    output_pid: bool
    state: Path | None
    handover: Handover | None
    """Of the program whose place this one took."""


async def run(place: Place, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises: what `serve` and the readiness raise."""
    if place.handover is not None:
        for fd in place.handover.descriptors.all():
            os.set_inheritable(fd, False)
    with SignalQueue(_SIGNALS) as signals:
        daemon = partial(
            serve,
            place.rundir,
            socket_path=place.socket,
            settings=settings,
            trace_file=place.trace_file,
            tell=tell,
            linger_s=_LINGER_S,
            state_file=None if place.state is None else StateFile(place.state),
            handover=place.handover,
            replacement=partial(Replacement, signals),
        )
        async with trio.open_nursery() as nursery:
            handle: ServerHandle = await nursery.start(daemon)
            with _pid_file(place):
                if place.handover is None:
                    _report(place, handle)
                else:
                    tell("took over, with all connections")
                await _act(signals, handle)
                nursery.cancel_scope.cancel()


async def _act(signals: SignalQueue, handle: ServerHandle) -> None:
    """Do what signals ask for, until one says stop."""
    while (number := await signals.get()) not in (signal.SIGTERM, signal.SIGINT):
        if number == signal.SIGUSR2:
            tell(f"no live update: {handle.live_update()}")
        else:
            for line in handle.summary().splitlines():
                tell(line)


def _pid_file(place: Place) -> AbstractContextManager[None]:
    if place.pid_file is None:
        return nullcontext()
    return pid_file(place.pid_file, there=place.handover is not None)


def _report(place: Place, handle: ServerHandle) -> None:
    """Tell everyone who asked that it serves."""
    tell(f"listening on {handle.socket_path}")
    if place.output_pid:
        click.echo(os.getpid())
    if place.ready_fd is not None:
        report_ready(place.ready_fd)
    if manager := os.environ.get("NOTIFY_SOCKET"):
        notify_manager(manager)
