"""A xenstore daemon on unix sockets, for any trio program: `nursery.start(serve, rundir)`."""

import os
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from xenstore_sim.event_loop import EventLoop
from xenstore_sim.log_file import LogFile
from xenstore_sim.run_directory import DaemonRunning, RunDirectory, RunDirectoryError
from xenstore_sim.store.counters import Statistics
from xenstore_sim.store.daemon import Daemon, Settings
from xenstore_sim.store.domains import DomainExists, every_domain_exists
from xenstore_sim.store.faults import FaultPlan, InjectedFault
from xenstore_sim.store.live_update import Successor
from xenstore_sim.store.node import Node
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.errors import ProtocolViolation, RequestRefused
from xenstore_sim.wire.layout import PAYLOAD_MAX, encode_packet
from xenstore_sim.wire.names import NO_TX, AbsolutePath, DomId
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.strings import strings

if TYPE_CHECKING:
    # Who has one loaded the migration format with it; who has none starts without.
    from xenstore_sim.state_file import StateFile
    from xenstore_sim.taken_over import TakenOver

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

    def ring_socket_path(self, domid: DomId) -> Path:
        """Where a domain gets its ring: who connects to it is that domain, over a shared page.
        There from its INTRODUCE to its RELEASE."""
        return self._loop.rundir.ring_socket_path(domid)

    def statistics(self) -> Statistics:
        """What the daemon did so far."""
        return self._loop.daemon.statistics()

    def summary(self) -> str:
        """The same for people, and who is a burden on it; several lines."""
        return self._loop.daemon.summary()

    def set_domain_exists(self, exists: DomainExists) -> None:
        """Ask this from now on whether the hypervisor has a domain."""
        self._loop.daemon.set_domain_exists(exists)

    def domain_destroyed(self, domid: DomId) -> None:
        """Tell the daemon that the hypervisor destroyed a domain."""
        self._loop.interject(self._loop.daemon.domain_destroyed(domid))

    def domain_shut_down(self, domid: DomId) -> None:
        """Tell the daemon that a domain stopped running and still exists."""
        self._loop.interject(self._loop.daemon.domain_shut_down(domid))

    def live_update(self) -> str | None:
        """Let this program's like take its place; why that is not even tried."""
        return self._loop.daemon.live_update()

    def inject(self, plan: FaultPlan | None) -> None:
        """Do wrong from now on what the plan says, and nothing else; None: nothing at all."""
        self._loop.interject(self._loop.daemon.inject(plan))

    def injected_faults(self) -> tuple[InjectedFault, ...]:
        """The last faults that were injected, oldest first; their numbers tell of those before."""
        return self._loop.daemon.injected_faults()

    def nodes(self) -> Iterator[tuple[AbsolutePath, Node]]:
        """The store, parents first; to be read on without an await."""
        return self._loop.daemon.nodes()

    def ask(self, op: Op, payload: bytes) -> bytes:
        """The answer to a request by this program itself, as dom0; no fault meets it.

        Raises: RequestRefused, ProtocolViolation when the payload is above its bound.
        """
        if len(payload) > PAYLOAD_MAX:
            raise ProtocolViolation(
                f"{op.name} with a payload of {len(payload)} bytes: the bound is {PAYLOAD_MAX}"
            )
        daemon = self._loop.daemon
        conn_id = daemon.connect(spared=True)
        assert conn_id is not None, "only domains are turned away"
        self._loop.interject(daemon.feed(conn_id, encode_packet(op, 1, NO_TX, payload)))
        decoder = Decoder()
        decoder.feed(daemon.output(conn_id))
        self._loop.interject(daemon.disconnect(conn_id))
        answer = decoder.next_packet()
        assert answer is not None, "every request of a whole packet is answered"
        if answer.type == Op.ERROR:
            errno = Errno(answer.payload.rstrip(b"\0").decode("ascii"))
            raise RequestRefused(errno, op, (strings(payload) or [""])[0])
        return answer.payload


async def serve(
    rundir: str | PathLike[str],
    *,
    socket_path: str | PathLike[str] | None = None,
    settings: Settings | None = None,
    domain_exists: DomainExists = every_domain_exists,
    trace_file: str | PathLike[str] | None = None,
    tell: Callable[[str], None] | None = None,
    linger_s: float = 0.0,
    state_file: "StateFile | None" = None,
    taken_over: "TakenOver | None" = None,
    replacement: Callable[[EventLoop, LogFile], Successor] | None = None,
    task_status: trio.TaskStatus[ServerHandle] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a store from this directory until cancelled; started with a ServerHandle.

    socket_path: of the privileged socket; None: it lies in the directory.
    trace_file: where to write what is said, a line a message; None: nowhere, until CONTROL asks.
    tell: takes words for the operator, such as those of CONTROL print; None: nobody hears them.
    linger_s: as for EventLoop; only where no client runs in the same thread.
    state_file: where the store comes from, and goes when it is cancelled; None: it is fresh.
    taken_over: of the program whose place this one takes. replacement: what makes another one take
    the place of this one; None: nothing can.
    Raises: DaemonRunning, RunDirectoryError, StateFileError, StateError, HandingOverFailed, OSError
    before it is started; StateFileError at the end.
    """
    socket = None if socket_path is None else Path(socket_path)
    left = None if taken_over is None else taken_over.descriptors
    with (
        RunDirectory(Path(rundir), socket, left) as directory,
        LogFile(directory.rundir, tell) as log,
    ):
        daemon = Daemon(settings, domain_exists, log)
        if taken_over is not None:
            log.take_over(taken_over.descriptors.log)
            taken_over.restore(daemon)
        else:
            if trace_file is not None:
                daemon.log_to(os.fspath(trace_file))
            if state_file is not None:
                state_file.begin(daemon)
        loop = EventLoop(daemon, directory, linger_s)
        if taken_over is not None:
            # Until it is complete the other program serves: nothing is to be ended in order.
            loop.take_over(taken_over.descriptors)
            taken_over.complete()
            directory.own()
        try:
            if replacement is not None:
                daemon.succeeded_by(replacement(loop, log))
            loop.resume()
            task_status.started(ServerHandle(loop))
            await loop.run()
        except trio.Cancelled:
            if state_file is not None:
                state_file.end(daemon)
            raise
        finally:
            loop.close()
