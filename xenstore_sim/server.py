"""A xenstore daemon on unix sockets, for any trio program: `nursery.start(serve, rundir)`."""

from os import PathLike
from pathlib import Path

import trio

from xenstore_sim.event_loop import EventLoop
from xenstore_sim.run_directory import DaemonRunning, RunDirectory, RunDirectoryError
from xenstore_sim.store.counters import Statistics
from xenstore_sim.store.daemon import Daemon, Settings
from xenstore_sim.store.domains import DomainExists, every_domain_exists
from xenstore_sim.wire.names import DomId

__all__ = ["DaemonRunning", "RunDirectoryError", "ServerHandle", "Settings", "serve"]


class ServerHandle:
    """A running daemon, as the program that runs it sees it; valid while `serve` runs."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop

    @property
    def socket_path(self) -> Path:
        """The privileged socket: who connects to it is dom0."""
        return self._loop.rundir.socket_path

    def domain_socket_path(self, domid: DomId) -> Path:
        """The socket of a domain: who connects to it is that domain. There from its INTRODUCE to
        its RELEASE."""
        return self._loop.rundir.domain_socket_path(domid)

    def statistics(self) -> Statistics:
        """What the daemon did so far."""
        return self._loop.daemon.statistics()

    def set_domain_exists(self, exists: DomainExists) -> None:
        """Ask this from now on whether the hypervisor has a domain."""
        self._loop.daemon.set_domain_exists(exists)

    def domain_destroyed(self, domid: DomId) -> None:
        """Tell the daemon that the hypervisor destroyed a domain."""
        self._loop.carry_out(self._loop.daemon.domain_destroyed(domid))
        self._loop.flush()

    def domain_shut_down(self, domid: DomId) -> None:
        """Tell the daemon that a domain stopped running and still exists."""
        self._loop.carry_out(self._loop.daemon.domain_shut_down(domid))
        self._loop.flush()


async def serve(
    rundir: str | PathLike[str],
    *,
    settings: Settings | None = None,
    domain_exists: DomainExists = every_domain_exists,
    task_status: trio.TaskStatus[ServerHandle] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a fresh store from this directory until cancelled; started with a ServerHandle.

    Raises: DaemonRunning, RunDirectoryError, both before it is started.
    """
    with RunDirectory(Path(rundir)) as directory:
        loop = EventLoop(Daemon(settings, domain_exists), directory)
        try:
            task_status.started(ServerHandle(loop))
            await loop.run()
        finally:
            loop.close()
