"""The command `xenstore-sim`: a xenstore daemon that any xenstore client can use."""

import os
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from math import isnan
from pathlib import Path
from typing import Final

import click
import trio

from xenstore_sim.quota_options import quota_options, quotas_of
from xenstore_sim.readiness import ReadinessError, notify_manager, pid_file, report_ready
from xenstore_sim.server import DaemonRunning, RunDirectoryError, ServerHandle, Settings, serve
from xenstore_sim.standard_error import tell
from xenstore_sim.store.expiry import WATCH_TIMEOUT_S
from xenstore_sim.store.faults import FaultPlan, FaultPlanError
from xenstore_sim.wire.compat import COMPAT_4_20, RELEASES

EXIT_FAILED: Final = 1
"""The operating system refused something."""
EXIT_DAEMON_RUNNING: Final = 3
EXIT_RUN_DIRECTORY: Final = 4
# 2 is click's, for a wrong command line.
_FD_MAX: Final = 2**31 - 1
_LINGER_S: Final = 0.001

_EPILOG: Final = """\
\b
Exit status:
  0  stopped by a signal
  1  the operating system refused something
  2  wrong command line
  3  another daemon serves the directory or the socket
  4  the directory cannot be used

Options of xenstored that are taken, too: -E, -S, -W, -t, -A and -M N for single quotas,
-q memory=N, and -w watch-event=SECONDS; -N, -D, -R, -V and -I on|off change nothing here.
It stays in the foreground, as xenstored does with -N.
"""


def _faults(ctx: click.Context, param: click.Parameter, text: str | None) -> FaultPlan | None:
    """The plan of the command line. Raises: click.BadParameter."""
    try:
        return None if text is None else FaultPlan.parse(text)
    except FaultPlanError as error:
        raise click.BadParameter(str(error)) from error


def _seconds(ctx: click.Context, param: click.Parameter, seconds: float) -> float:
    """The same, but for what is no time. Raises: click.BadParameter."""
    if isnan(seconds):
        raise click.BadParameter("nan is no number of seconds; 0 lets events wait for ever")
    return seconds


def _timeouts(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> float | None:
    """The last watch-event timeout in xenstored's spelling. Raises: click.BadParameter."""
    seconds = None
    for text in texts:
        name, _, number = text.partition("=")
        if name != "watch-event" or not (number.isascii() and number.isdigit()):
            raise click.BadParameter(f"{text!r} is no timeout; there is watch-event=SECONDS")
        seconds = float(number)
    return seconds


def _where(
    rundir: Path | None, socket: Path | None, environment: Mapping[str, str]
) -> tuple[Path, Path | None]:
    """The run directory, and the socket if it lies elsewhere. Raises: click.UsageError."""
    if rundir is None and socket is None:
        # As xenstored and its clients look for it.
        rundir = _path(environment.get("XENSTORED_RUNDIR"))
        socket = _path(environment.get("XENSTORED_PATH"))
    if rundir is not None:
        return rundir, socket
    if socket is None:
        raise click.UsageError(
            "Where are clients to find it? Give --rundir or --socket, or set XENSTORED_RUNDIR."
        )
    return socket.with_name(f"{socket.name}.d"), socket


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the daemon serves and what it leaves there."""

    rundir: Path
    socket: Path | None
    trace_file: str | None
    pid_file: Path | None
    ready_fd: int | None


@click.command(
    context_settings={"help_option_names": ["-h", "-H", "--help"], "max_content_width": 80},
    epilog=_EPILOG,
)
@click.option(
    "--rundir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for the sockets: `socket` is dom0's, `domain/N` and `ring/N` those of"
    " domain N. Made if missing. Without it and --socket: XENSTORED_RUNDIR, XENSTORED_PATH.",
)
@click.option(
    "--socket",
    type=click.Path(dir_okay=False, path_type=Path),
    help="dom0's socket, if it is to lie elsewhere. Without --rundir the others are in `SOCKET.d`.",
)
@click.option(
    "--compat",
    type=click.Choice(list(RELEASES)),
    default=COMPAT_4_20.name,
    show_default=True,
    help="The release of Xen whose xenstored to be.",
)
@quota_options
@click.option(
    "--watch-timeout",
    type=click.FloatRange(min=0),
    default=WATCH_TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    callback=_seconds,
    help="Drop watch events that a domain leaves unread for so long; 0: never.",
)
@click.option("-w", "--timeout", multiple=True, callback=_timeouts, hidden=True)
@click.option(
    *("-T", "--trace-file"),
    metavar="FILE",
    help="Append a line for each request, reply and event. Relative names, also those of"
    " CONTROL logfile, are below the run directory.",
)
@click.option(
    "--faults",
    metavar="SPEC",
    callback=_faults,
    help="Do wrong on purpose, to test clients: `seed=7,eagain=0.3,late=0.2`. See"
    " docs/testing-with-xenstore.md.",
)
@click.option(
    *("-F", "--pid-file"),
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the process id there when serving; removed at the end.",
)
@click.option("-P", "--output-pid", is_flag=True, help="Print the process id when serving.")
@click.option(
    "--ready-fd",
    type=click.IntRange(min=0, max=_FD_MAX),
    metavar="N",
    help="Write a line to descriptor N when serving. A NOTIFY_SOCKET of systemd is told, too.",
)
@click.option("-N", "--no-fork", is_flag=True, expose_value=False, hidden=True)
@click.option("-D", "--no-domain-init", is_flag=True, expose_value=False, hidden=True)
@click.option("-R", "--no-recovery", is_flag=True, expose_value=False, hidden=True)
@click.option("-V", "--verbose", is_flag=True, expose_value=False, hidden=True)
@click.option(
    *("-I", "--internal-db"), type=click.Choice(["on", "off"]), expose_value=False, hidden=True
)
def main(
    rundir: Path | None,
    socket: Path | None,
    compat: str,
    quotas: tuple[tuple[str, int], ...],
    soft_quotas: tuple[tuple[str, int], ...],
    watch_timeout: float,
    timeout: float | None,
    faults: FaultPlan | None,
    trace_file: str | None,
    pid_file: Path | None,
    output_pid: bool,
    ready_fd: int | None,
    **single_quotas: int | None,
) -> None:
    """Serve a fresh xenstore on unix sockets until SIGTERM or SIGINT."""
    rundir, socket = _where(rundir, socket, os.environ)
    settings = Settings(
        RELEASES[compat],
        quotas_of(quotas, soft_quotas, **single_quotas),
        watch_timeout if timeout is None else timeout,
        faults,
    )
    place = _Place(rundir, socket, trace_file, pid_file, ready_fd)
    _raise_descriptor_limit()
    try:
        trio.run(_serve, place, settings, output_pid)
    except* DaemonRunning as group:
        _fail(group, EXIT_DAEMON_RUNNING)
    except* RunDirectoryError as group:
        _fail(group, EXIT_RUN_DIRECTORY)
    except* (ReadinessError, OSError) as group:
        _fail(group, EXIT_FAILED)


async def _serve(place: _Place, settings: Settings, output_pid: bool) -> None:
    daemon = partial(
        serve,
        place.rundir,
        socket_path=place.socket,
        settings=settings,
        trace_file=place.trace_file,
        tell=tell,
        linger_s=_LINGER_S,
    )
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            handle: ServerHandle = await nursery.start(daemon)
            with nullcontext() if place.pid_file is None else pid_file(place.pid_file):
                _report(place, handle, output_pid)
                async for _ in signals:
                    nursery.cancel_scope.cancel()
                    return


def _report(place: _Place, handle: ServerHandle, output_pid: bool) -> None:
    """Tell everyone who asked that it serves."""
    tell(f"listening on {handle.socket_path}")
    if output_pid:
        click.echo(os.getpid())
    if place.ready_fd is not None:
        report_ready(place.ready_fd)
    if manager := os.environ.get("NOTIFY_SOCKET"):
        notify_manager(manager)


def _raise_descriptor_limit() -> None:
    """Allow as many clients as this user may have: each takes a descriptor, a domain several, and
    the usual soft bound is 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _fail(group: BaseExceptionGroup[BaseException], status: int) -> None:
    cause: BaseException = group
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    tell(str(cause))
    sys.exit(status)


if __name__ == "__main__":
    main()
