"""A daemon as a process of its own: signals, and who is told that it serves."""

import os
import signal
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import click
import trio

from xenstore_sim.collection import no_collection
from xenstore_sim.live_update import Replacement
from xenstore_sim.readiness import PidFile, ReadinessError, notify_manager, report_ready
from xenstore_sim.server import ServerHandle, Settings, serve
from xenstore_sim.signal_queue import SignalQueue
from xenstore_sim.standard_error import tell
from xenstore_sim.state_file import StateFile
from xenstore_sim.taken_over import TakenOver

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
    succession: int | None
    """The descriptor over which another program gives its place to this one."""


async def run(place: Place, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises: what `serve` and the readiness raise."""
    # Who starts us may have it ignored, and the status of a child of ours would be lost.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with SignalQueue(_SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            pid_file = None if place.pid_file is None else PidFile(place.pid_file)
            with no_collection():
                # The last thing before it serves: until then another program does.
                taken_over = None if place.succession is None else TakenOver(place.succession)
                daemon = partial(
                    serve,
                    place.rundir,
                    socket_path=place.socket,
                    settings=settings,
                    trace_file=place.trace_file,
                    tell=tell,
                    linger_s=_LINGER_S,
                    state_file=None if place.state is None else StateFile(place.state),
                    taken_over=taken_over,
                    replacement=partial(
                        Replacement, nursery, signals, partial(_kept, pid_file), place.pid_file
                    ),
                )
                handle: ServerHandle = await nursery.start(daemon)
            with pid_file or nullcontext():
                if taken_over is None:
                    _report(place, pid_file, handle)
                else:
                    _forget_pid_file(place, taken_over.descriptors.pid_file)
                    _note_process(pid_file)
                    tell("took over, with all connections")
                    nursery.start_soon(taken_over.await_end)
                await _act(signals, handle)
                nursery.cancel_scope.cancel()


async def _act(signals: SignalQueue, handle: ServerHandle) -> None:
    """Do what signals ask for, until one says stop."""
    while (number := await signals.get()) not in (signal.SIGTERM, signal.SIGINT):
        if number == signal.SIGUSR2:
            if (reason := handle.live_update()) is not None:
                tell(f"no live update: {reason}")
        else:
            for line in handle.summary().splitlines():
                tell(line)


def _forget_pid_file(place: Place, former: str | None) -> None:
    """Remove the one of the program before, unless it is ours, too."""
    ours = None if place.pid_file is None else os.fspath(place.pid_file.absolute())
    if former is not None and former != ours:
        with suppress(OSError):
            os.unlink(former)


def _kept(pid_file: PidFile | None, reason: str, *, moved: bool) -> None:
    """Another program did not take over. moved: this is another process now."""
    tell(f"no live update: {reason}")
    if moved:
        _note_process(pid_file)


def _note_process(pid_file: PidFile | None) -> None:
    """Let the file name this process; a daemon that has connections does not end for it."""
    if pid_file is not None:
        try:
            pid_file.write()
        except ReadinessError as error:
            tell(str(error))


def _report(place: Place, pid_file: PidFile | None, handle: ServerHandle) -> None:
    """Tell everyone who asked that it serves. Raises: ReadinessError."""
    if pid_file is not None:
        pid_file.write()
    tell(f"listening on {handle.socket_path}")
    if place.output_pid:
        click.echo(os.getpid())
    if place.ready_fd is not None:
        report_ready(place.ready_fd)
    if manager := os.environ.get("NOTIFY_SOCKET"):
        notify_manager(manager)
