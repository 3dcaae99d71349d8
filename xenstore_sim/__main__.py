"""The command `xenstore-sim`: a xenstore daemon that any xenstore client can use."""

import os
import resource
import sys
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from typing import Final

import click
import trio

from xenstore_sim.collection import no_collection
from xenstore_sim.daemon_process import Place, run
from xenstore_sim.handover_codec import decode_handover
from xenstore_sim.live_update import STATE_OPTION
from xenstore_sim.memory_file import read_memory_file
from xenstore_sim.migration.errors import StateError
from xenstore_sim.quota_options import quota_options, quotas_of
from xenstore_sim.readiness import ReadinessError
from xenstore_sim.rehearsal import CHECK_OPTION, acceptance
from xenstore_sim.server import DaemonRunning, RunDirectoryError, Settings
from xenstore_sim.standard_error import tell
from xenstore_sim.state_file import StateFileError
from xenstore_sim.store.daemon import Daemon
from xenstore_sim.store.expiry import WATCH_TIMEOUT_S
from xenstore_sim.store.faults import FaultPlan, FaultPlanError
from xenstore_sim.succession import HandingOverFailed
from xenstore_sim.wire.compat import COMPAT_4_20, RELEASES

EXIT_FAILED: Final = 1
"""The operating system refused something."""
EXIT_DAEMON_RUNNING: Final = 3
EXIT_RUN_DIRECTORY: Final = 4
EXIT_STATE: Final = 5
# 2 is click's, for a wrong command line.
_DESCRIPTOR: Final = click.IntRange(min=0, max=2**31 - 1)


_EPILOG: Final = """\
\b
Exit status:
  0  stopped by a signal
  1  the operating system refused something
  2  wrong command line
  3  another daemon serves the directory or the socket
  4  the directory cannot be used
  5  the state file cannot be read, or not be written

Options of xenstored that are taken, too: -E, -S, -W, -t, -A and -M N for single quotas,
-q memory=N, and -w watch-event=SECONDS; -N, -D, -R, -V and -I on|off change nothing here.
It stays in the foreground, as xenstored does with -N.
"""


class _NamedPath(click.Path):
    """A path that is not empty, which would be the current directory unasked."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """The path. Raises: click.BadParameter."""
        if value == "":
            self.fail("the name is empty; write . for the current directory", param, ctx)
        return super().convert(value, param, ctx)


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


def _state(ctx: click.Context, param: click.Parameter, fd: int | None) -> bytes | None:
    """What another program would leave. Raises: click.BadParameter."""
    try:
        return None if fd is None else read_memory_file(fd)
    except OSError as error:
        raise click.BadParameter(f"descriptor {fd}: {error.strerror}") from error


@click.command(
    context_settings={"help_option_names": ["-h", "-H", "--help"], "max_content_width": 80},
    epilog=_EPILOG,
)
@click.option(
    "--rundir",
    type=_NamedPath(file_okay=False, path_type=Path),
    help="Directory for the sockets: `socket` is dom0's, `domain/N` and `ring/N` those of"
    " domain N. Made if missing. Without it and --socket: XENSTORED_RUNDIR, XENSTORED_PATH.",
)
@click.option(
    "--socket",
    type=_NamedPath(dir_okay=False, path_type=Path),
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
    *("-T", "--trace-file", "--trace"),
    "trace_file",
    metavar="FILE",
    help="Append a line for each request, reply and event. Relative names, also those of"
    " CONTROL logfile, are below the run directory.",
)
@click.option(
    "--state",
    type=_NamedPath(dir_okay=False, path_type=Path),
    help="Begin with the store in this file if it is there, and save it there when stopped:"
    " nodes, and which domains are introduced.",
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
    type=_NamedPath(dir_okay=False, path_type=Path),
    help="Write the process id there when serving; removed at the end.",
)
@click.option("-P", "--output-pid", is_flag=True, help="Print the process id when serving.")
@click.option(
    "--ready-fd",
    type=_DESCRIPTOR,
    metavar="N",
    help="Write a line to descriptor N when serving. A NOTIFY_SOCKET of systemd is told, too.",
)
@click.option(STATE_OPTION, "succession", type=_DESCRIPTOR, hidden=True)
@click.option(CHECK_OPTION, "state_to_check", type=_DESCRIPTOR, callback=_state, hidden=True)
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
    state: Path | None,
    succession: int | None,
    state_to_check: bytes | None,
    **single_quotas: int | None,
) -> None:
    """Serve a xenstore on unix sockets until SIGTERM or SIGINT.

    SIGUSR2 lets the same command take the daemon's place, with all connections living on.
    """
    rundir, socket = _where(rundir, socket, os.environ)
    settings = Settings(
        RELEASES[compat],
        quotas_of(quotas, soft_quotas, **single_quotas),
        watch_timeout if timeout is None else timeout,
        faults,
    )
    place = Place(rundir, socket, trace_file, pid_file, ready_fd, output_pid, state, succession)
    if state_to_check is not None:
        _check(place, settings, state_to_check)
        return
    _raise_descriptor_limit()
    try:
        trio.run(run, place, settings)
    except* DaemonRunning as group:
        _fail(group, EXIT_DAEMON_RUNNING)
    except* RunDirectoryError as group:
        _fail(group, EXIT_RUN_DIRECTORY)
    except* StateFileError as group:
        _fail(group, EXIT_STATE)
    except* (ReadinessError, StateError, HandingOverFailed, OSError) as group:
        _fail(group, EXIT_FAILED)


def _check(place: Place, settings: Settings, state: bytes) -> None:
    """Say whether this program could go on with the state. Raises: SystemExit."""
    try:
        with no_collection():
            handover = decode_handover(state)
            handover.restore(Daemon(settings))
    except StateError as error:
        tell(str(error))
        sys.exit(EXIT_FAILED)
    left = handover.descriptors
    socket = place.rundir / "socket" if place.socket is None else place.socket
    if (os.fspath(place.rundir.absolute()), os.fspath(socket.absolute())) != (
        left.rundir,
        left.socket_path,
    ):
        tell(f"a live update cannot move the daemon away from {left.rundir}, {left.socket_path}")
        sys.exit(EXIT_RUN_DIRECTORY)
    click.echo(acceptance(len(state)))


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
