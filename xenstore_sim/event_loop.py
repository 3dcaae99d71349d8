"""Serves all sockets and rings of a daemon in one task.

trio waits on one descriptor, an epoll set of all the others; whatever is ready is then served
without blocking. A pass of the scheduler for each message would cost more than the store does.
"""

import os
import select
import socket
import time
from functools import partial
from typing import Final

import trio

from xenstore_sim.descriptor_reserve import DescriptorReserve
from xenstore_sim.descriptors import Descriptors, OpenLog
from xenstore_sim.endpoint import NO_DESCRIPTORS, Connected, Endpoint
from xenstore_sim.listener import Listener
from xenstore_sim.outgoing import Outgoing
from xenstore_sim.ring.shared_ring import SharedRing
from xenstore_sim.ring_connection import RingConnection
from xenstore_sim.run_directory import RunDirectory
from xenstore_sim.store.commands import (
    Close,
    CloseDomain,
    Command,
    Ignore,
    OpenDomain,
    Reset,
    Send,
)
from xenstore_sim.store.daemon import Daemon
from xenstore_sim.store.watches import ConnId
from xenstore_sim.stream_connection import StreamConnection
from xenstore_sim.wire.names import DomId

TURN_S: Final = 0.005
"""Rounds go on for so long before other tasks of the same trio get their turn."""


class EventLoop:
    """The descriptors of a daemon, and who is at their other ends."""

    def __init__(self, daemon: Daemon, rundir: RunDirectory, linger_s: float = 0.0) -> None:
        """Listens at once: who connects before `run` is served then. Raises: OSError.

        linger_s: how long to wait for the next request with the thread, not with trio: each wait
        of a trio task costs more than a request. Other tasks and the daemon's deadlines have their
        turn all the same, after at most TURN_S and this. In whole milliseconds; 0 where clients
        run in the same thread.
        """
        self.daemon = daemon
        self._linger_s = linger_s
        self.rundir = rundir
        self._epoll = select.epoll()
        self._endpoints: dict[int, Endpoint] = {}
        self._removed: set[int] = set()
        """Descriptors that were removed in this round."""
        self._connections: dict[ConnId, Connected] = {}
        self._rings: dict[ConnId, RingConnection] = {}
        """Those of the connections that are rings."""
        self._domains: dict[DomId, tuple[Listener, Listener]] = {}
        """Where each domain connects, and where it gets its ring."""
        self._unopened: dict[DomId, None] = {}
        """Domains whose sockets wait for a free descriptor."""
        self._paused: dict[Endpoint, int] = {}
        """Listeners that wait for one."""
        self._reserve = DescriptorReserve()
        self._told_of_descriptors = False
        """The operator knows that there were none."""
        self.outgoing = Outgoing(self._connections)
        self._unfinished: dict[Endpoint, None] = {}
        """To be served in the next round, whatever their descriptors say."""
        try:
            self._main = Listener(
                self, rundir.listen(rundir.socket_path), self._accept_dom0, self._leaves_reserve
            )
        except BaseException:
            self._epoll.close()
            raise

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            await self._wait()
            end = time.monotonic() + TURN_S
            while self._round() and time.monotonic() < end:
                pass

    async def _wait(self) -> None:
        """Return when there is something to do."""
        deadline = self.daemon.next_deadline()
        try:
            if self._unfinished:
                await trio.lowlevel.checkpoint()
            elif deadline is None:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
            else:
                with trio.move_on_at(deadline):
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
        except trio.ClosedResourceError:
            # Nothing is closed: `interject` ended the wait.
            pass
        if deadline is not None:
            self.carry_out(self.daemon.tick(trio.current_time()))
            self.outgoing.flush()

    def _round(self) -> bool:
        """Serve each endpoint that has something to do; False: none had."""
        ready = self._epoll.poll(0 if self._unfinished else self._linger_s)
        self._removed.clear()
        if self._unfinished:
            unfinished = tuple(self._unfinished)
            self._unfinished.clear()
            for endpoint in unfinished:
                endpoint.ready(0)
        elif not ready:
            return False
        for fd, mask in ready:
            # Removed when an earlier one in the same round ended it: it may be another's by now.
            if fd not in self._removed:
                self._endpoints[fd].ready(mask)
        if commands := self.daemon.commands():
            self.carry_out(commands)
        self.outgoing.flush()
        return True

    def close(self) -> None:
        """Close every socket."""
        for connection in tuple(self._connections.values()):
            connection.close()
        self._unopened.clear()
        for domid in tuple(self._domains):
            self._close_domain(domid)
        self._main.close()
        self._epoll.close()

    def carry_out(self, commands: tuple[Command, ...]) -> None:
        """Do what the daemon's core wants; output goes out with `outgoing.flush`."""
        for command in commands:
            match command:
                case Send():
                    self.outgoing.wake(command.conn)
                case Close(conn_id):
                    if (connection := self._connections.get(conn_id)) is not None:
                        connection.close()
                case Reset(conn_id):
                    if (ring := self._rings.get(conn_id)) is not None:
                        ring.reset()
                case Ignore(conn_id):
                    if (ring := self._rings.get(conn_id)) is not None:
                        ring.ignore()
                case OpenDomain(domid):
                    self._open_domain(domid)
                case CloseDomain(domid):
                    self._close_domain(domid)

    def interject(self, commands: tuple[Command, ...]) -> None:
        """Carry out, while `run` waits, what the daemon wants by a call of another task."""
        self.carry_out(commands)
        self.outgoing.flush()
        if self._unfinished or self.daemon.next_deadline() is not None:
            # The wait knows nothing of them; nothing cheaper ends that of another task.
            trio.lowlevel.notify_closing(self._epoll.fileno())

    # -- domains

    def _open_domain(self, domid: DomId) -> None:
        accepts = (
            (self.rundir.domain_socket_path(domid), self._accept_domain),
            (self.rundir.ring_socket_path(domid), self._accept_ring),
        )
        sockets: list[socket.socket] = []
        try:
            for path, _ in accepts:
                sockets.append(self.rundir.listen(path))
        except OSError as error:
            for sock, (path, _) in zip(sockets, accepts, strict=False):
                sock.close()
                path.unlink(missing_ok=True)
            if error.errno in NO_DESCRIPTORS:
                self.daemon.refuse_connection()
                self._unopened[domid] = None
                self._tell_of_descriptors()
            else:
                # Something lies in the way, or the directory is gone: the others go on.
                self.daemon.say(
                    f"domain {domid} cannot connect: {error.strerror}: {error.filename}"
                )
            return
        connects, ring = (
            Listener(self, sock, partial(accept, domid))
            for sock, (_, accept) in zip(sockets, accepts, strict=True)
        )
        self._domains[domid] = (connects, ring)

    def _close_domain(self, domid: DomId) -> None:
        self._unopened.pop(domid, None)
        listeners = self._domains.pop(domid, ())
        if not listeners:
            # What lies at these names is not ours.
            return
        self.rundir.domain_socket_path(domid).unlink(missing_ok=True)
        self.rundir.ring_socket_path(domid).unlink(missing_ok=True)
        for listener in listeners:
            listener.close()

    def _accept_dom0(self, sock: socket.socket) -> None:
        conn_id = self.daemon.connect()
        assert conn_id is not None, "only domains are turned away"
        self._serve(StreamConnection(self, conn_id, sock))

    def _serve(self, connection: StreamConnection) -> None:
        # Mostly its first request is there already.
        connection.ready(select.EPOLLIN)

    def _leaves_reserve(self) -> bool:
        """Whether domains could connect even after one more client of dom0."""
        return self._reserve.left(
            connections=len(self._connections),
            rings=len(self._rings),
            domains=len(self._domains),
        )

    def _accept_domain(self, domid: DomId, sock: socket.socket) -> None:
        conn_id = self.daemon.connect(domid)
        if conn_id is None:
            sock.close()
        else:
            self._serve(StreamConnection(self, conn_id, sock))

    def _accept_ring(self, domid: DomId, sock: socket.socket) -> None:
        conn_id = self.daemon.connect(domid, ring=True)
        if conn_id is None:
            sock.close()
            return
        try:
            self._rings[conn_id] = RingConnection(self, conn_id, domid, sock)
        except OSError:
            # No descriptors left, or the client is gone already.
            sock.close()
            self.carry_out(self.daemon.disconnect(conn_id))
            self.daemon.refuse_connection()

    # -- for a program that takes this one's place

    def descriptors(self, log: OpenLog | None) -> Descriptors:
        """All that is open and not about to be closed. log: the log's."""
        streams, rings = {}, {}
        for conn_id in self.daemon.connections():
            # None: the client of an ignored ring left; the core keeps that until its domain goes.
            connection = self._connections.get(conn_id)
            if isinstance(connection, RingConnection):
                rings[int(conn_id)] = connection.descriptors
            elif isinstance(connection, StreamConnection):
                streams[int(conn_id)] = connection.descriptor
        return Descriptors(
            rundir=os.fspath(self.rundir.rundir.absolute()),
            socket_path=os.fspath(self.rundir.socket_path.absolute()),
            lock=self.rundir.lock,
            listening=self._main.descriptor,
            domains={
                domid: (connects.descriptor, ring.descriptor)
                for domid, (connects, ring) in self._domains.items()
            },
            streams=streams,
            rings=rings,
            log=log,
        )

    def take_over(self, descriptors: Descriptors) -> None:
        """Go on with another program's connections, which the daemon has. Raises: OSError."""
        for number, fd in descriptors.streams.items():
            StreamConnection(self, ConnId(number), socket.socket(fileno=fd))
        for number, ring in descriptors.rings.items():
            conn_id = ConnId(number)
            shared = SharedRing.taken_over(ring.page, ring.to_server, ring.to_client)
            control = socket.socket(fileno=ring.control)
            connection = RingConnection(
                self, conn_id, self.daemon.domid_of(conn_id), control, shared
            )
            self._rings[conn_id] = connection
            self.come_back(connection)

    def resume(self) -> None:
        """Do what a state that the daemon restored leaves to be done."""
        self.carry_out(self.daemon.resume())
        self.outgoing.flush()

    # -- for those it serves

    def add(self, fd: int, endpoint: Endpoint, mask: int) -> None:
        """Watch a descriptor for these events from now on."""
        self._endpoints[fd] = endpoint
        self._epoll.register(fd, mask)

    def watch_for(self, fd: int, mask: int) -> None:
        """Watch a descriptor for these events instead."""
        self._epoll.modify(fd, mask)

    def remove(self, fd: int) -> None:
        """Watch a descriptor no more; to be said before it is closed."""
        endpoint = self._endpoints.pop(fd)
        self._removed.add(fd)
        self._paused.pop(endpoint, None)
        self._unfinished.pop(endpoint, None)
        self._epoll.unregister(fd)

    def come_back(self, endpoint: Endpoint) -> None:
        """Serve it in the next round, whatever its descriptors say."""
        self._unfinished[endpoint] = None

    def pause(self, listener: Endpoint, fd: int) -> None:
        """Accept no more from this socket until a descriptor is free: its queue stays readable,
        and to look at it again and again would help nobody."""
        self.watch_for(fd, 0)
        self._paused[listener] = fd
        self._tell_of_descriptors()

    def _tell_of_descriptors(self) -> None:
        if not self._told_of_descriptors:
            self._told_of_descriptors = True
            self.daemon.say(
                "no descriptor is left for connections: they wait for the end of others;"
                " raise the bound of open files (ulimit -n)"
            )

    def descriptor_freed(self) -> None:
        """Let those go on who ran out of descriptors; to be said after closing some."""
        if self._unopened:
            self._open_domain(self._unopened.popitem()[0])
        for fd in self._paused.values():
            self.watch_for(fd, select.EPOLLIN)
        self._paused.clear()

    def add_connection(self, conn_id: ConnId, connection: Connected) -> None:
        """Carry out commands about this connection from now on."""
        self._connections[conn_id] = connection

    def forget_connection(self, conn_id: ConnId) -> None:
        """It is closed."""
        del self._connections[conn_id]
        self._rings.pop(conn_id, None)
