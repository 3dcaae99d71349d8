"""The command `xenstore-sim`: a xenstore daemon that any xenstore client can use."""

import os
import signal
import sys
from functools import partial
from typing import Final

import click
import trio

from xenstore_sim.server import DaemonRunning, RunDirectoryError, ServerHandle, Settings, serve
from xenstore_sim.store.quotas import QUOTA_NAMES, Quotas
from xenstore_sim.wire.compat import COMPAT_4_20, RELEASES

EXIT_FAILED: Final = 1
"""The operating system refused something while it ran."""
EXIT_DAEMON_RUNNING: Final = 3
EXIT_RUN_DIRECTORY: Final = 4
# 2 is click's, for a wrong command line.


def _quotas(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> Quotas:
    """The default bounds with those of the command line. Raises: click.BadParameter."""
    quotas = Quotas()
    for text in texts:
        name, _, number = text.partition("=")
        if name not in QUOTA_NAMES:
            raise click.BadParameter(f"{name!r} is no quota; there are {', '.join(QUOTA_NAMES)}")
        if not (number.isascii() and number.isdigit()):
            raise click.BadParameter(f"{number!r} is no bound for {name}: a number, 0 for none")
        quotas = quotas.with_quota(name, int(number))
    return quotas


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--rundir",
    required=True,
    type=click.Path(file_okay=False),
    help="Directory for the sockets: `socket` is dom0's, `domain/N` that of domain N."
    " Tools find it by XENSTORED_RUNDIR.",
)
@click.option(
    "--compat",
    type=click.Choice(list(RELEASES)),
    default=COMPAT_4_20.name,
    show_default=True,
    help="The release of Xen whose xenstored to be.",
)
@click.option(
    "--quota",
    "quotas",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_quotas,
    help="Bound of every domain; can be given for each quota.",
)
@click.option(
    "--ready-fd", type=click.IntRange(min=0), help="Write a line to this descriptor when serving."
)
def main(rundir: str, compat: str, quotas: Quotas, ready_fd: int | None) -> None:
    """Serve a fresh xenstore on unix sockets until SIGTERM or SIGINT.

    Exit status: 0 stopped by a signal, 1 a failure while it ran, 2 wrong command line, 3 another
    daemon serves the run directory, 4 the run directory cannot be used.
    """
    try:
        trio.run(_serve, rundir, Settings(RELEASES[compat], quotas), ready_fd)
    except* DaemonRunning as group:
        _fail(group, EXIT_DAEMON_RUNNING)
    except* RunDirectoryError as group:
        _fail(group, EXIT_RUN_DIRECTORY)
    except* OSError as group:
        _fail(group, EXIT_FAILED)


async def _serve(rundir: str, settings: Settings, ready_fd: int | None) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            handle: ServerHandle = await nursery.start(partial(serve, rundir, settings=settings))
            click.echo(f"xenstore-sim: listening on {handle.socket_path}", err=True)
            if ready_fd is not None:
                _report_ready(ready_fd)
            async for _ in signals:
                nursery.cancel_scope.cancel()
                return


def _report_ready(fd: int) -> None:
    os.write(fd, b"ready\n")
    os.close(fd)


def _fail(group: BaseExceptionGroup[BaseException], status: int) -> None:
    cause: BaseException = group
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    click.echo(f"xenstore-sim: {cause}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
