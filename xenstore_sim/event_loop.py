"""Serves all sockets of a daemon in one task.

trio waits on one descriptor, an epoll set of all sockets; whatever is ready is then served without
blocking. A pass of the scheduler for each message would cost more than the store does.
"""

import errno
import select
import socket
from typing import Final, Protocol

import trio

from xenstore_sim.run_directory import RunDirectory
from xenstore_sim.store.commands import Close, CloseDomain, Command, OpenDomain, Send
from xenstore_sim.store.daemon import Daemon
from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.names import DomId

ROUNDS_PER_WAKE: Final = 16
"""Rounds over all ready sockets before other tasks of the same trio get their turn."""
_RECEIVE_BYTES: Final = 8 * 1024
"""From each connection in each round: what makes the rounds fair."""
_ACCEPTS_PER_ROUND: Final = 16
NO_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class _Endpoint(Protocol):
    """A socket in the epoll set."""

    def ready(self, mask: int) -> None:
        """Serve it, without blocking."""


class EventLoop:
    """The sockets of a daemon, and who is at their other ends."""

    def __init__(self, daemon: Daemon, rundir: RunDirectory) -> None:
        """Listens at once: who connects before `run` is served then. Raises: OSError."""
        self.daemon = daemon
        self.rundir = rundir
        self._epoll = select.epoll()
        self._endpoints: dict[int, _Endpoint] = {}
        self._clients: dict[ConnId, _Client] = {}
        self._domains: dict[DomId, _Listener] = {}
        self._unopened: dict[DomId, None] = {}
        """Domains whose socket waits for a free descriptor."""
        self._paused: dict[_Listener, None] = {}
        """Listeners that wait for one."""
        self._to_send: dict[ConnId, None] = {}
        try:
            self._main = _Listener(self, rundir.listen(rundir.socket_path), None)
        except BaseException:
            self._epoll.close()
            raise

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for _ in range(ROUNDS_PER_WAKE):
                ready = self._epoll.poll(0)
                if not ready:
                    break
                for fd, mask in ready:
                    # Gone when an earlier one in the same round ended it.
                    if (endpoint := self._endpoints.get(fd)) is not None:
                        endpoint.ready(mask)
                self.flush()

    def close(self) -> None:
        """Close every socket."""
        for client in tuple(self._clients.values()):
            client.close()
        self._unopened.clear()
        for listener in (*self._domains.values(), self._main):
            listener.close()
        self._epoll.close()

    def carry_out(self, commands: tuple[Command, ...]) -> None:
        """Do what the daemon's core wants; output goes out with `flush`."""
        for command in commands:
            match command:
                case Send(conn_id):
                    self._to_send[conn_id] = None
                case Close(conn_id):
                    if (client := self._clients.get(conn_id)) is not None:
                        client.close()
                case OpenDomain(domid):
                    self._open_domain(domid)
                case CloseDomain(domid):
                    self._close_domain(domid)

    def flush(self) -> None:
        """Send what waits, and what comes up by that."""
        while self._to_send:
            conn_id, _ = self._to_send.popitem()
            if (client := self._clients.get(conn_id)) is not None:
                client.send()

    def _open_domain(self, domid: DomId) -> None:
        path = self.rundir.domain_socket_path(domid)
        try:
            self._domains[domid] = _Listener(self, self.rundir.listen(path), domid)
        except OSError as error:
            if error.errno not in NO_DESCRIPTORS:
                raise
            self.daemon.refuse_connection()
            self._unopened[domid] = None

    def _close_domain(self, domid: DomId) -> None:
        self._unopened.pop(domid, None)
        if (listener := self._domains.pop(domid, None)) is not None:
            listener.close()
            self.rundir.domain_socket_path(domid).unlink(missing_ok=True)

    # -- for the endpoints

    def add(self, sock: socket.socket, endpoint: _Endpoint) -> None:
        """Watch a socket for input from now on."""
        self._endpoints[sock.fileno()] = endpoint
        self._epoll.register(sock, select.EPOLLIN)

    def watch_for(self, sock: socket.socket, mask: int) -> None:
        """Watch a socket for these events instead."""
        self._epoll.modify(sock, mask)

    def remove(self, sock: socket.socket) -> None:
        """Watch a socket no more, and close it."""
        endpoint = self._endpoints.pop(sock.fileno())
        if isinstance(endpoint, _Listener):
            self._paused.pop(endpoint, None)
        self._epoll.unregister(sock)
        sock.close()
        # A descriptor is free again: who ran out of them goes on.
        if self._unopened:
            self._open_domain(self._unopened.popitem()[0])
        for listener in self._paused:
            self.watch_for(listener.socket, select.EPOLLIN)
        self._paused.clear()

    def pause(self, listener: "_Listener") -> None:
        """Accept no more until a descriptor is free: the queue stays readable, and to look at it
        again and again would help nobody."""
        self.watch_for(listener.socket, 0)
        self._paused[listener] = None

    def add_client(self, conn_id: ConnId, sock: socket.socket) -> None:
        """Serve a client from now on."""
        self._clients[conn_id] = _Client(self, conn_id, sock)

    def forget_client(self, conn_id: ConnId) -> None:
        """Its socket is closed."""
        del self._clients[conn_id]


class _Listener:
    """A listening socket: the daemon's own, or a domain's."""

    def __init__(self, loop: EventLoop, sock: socket.socket, domid: DomId | None) -> None:
        self._loop = loop
        self.socket = sock
        self._domid = domid
        loop.add(sock, self)

    def ready(self, mask: int) -> None:
        """Accept who waits; a domain that is connected already is turned away."""
        for _ in range(_ACCEPTS_PER_ROUND):
            try:
                sock, _ = self.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in NO_DESCRIPTORS:
                    raise
                self._loop.daemon.refuse_connection()
                self._loop.pause(self)
                return
            sock.setblocking(False)
            conn_id = self._loop.daemon.connect(self._domid)
            if conn_id is None:
                sock.close()
            else:
                self._loop.add_client(conn_id, sock)

    def close(self) -> None:
        self._loop.remove(self.socket)


class _Client:
    """A connected socket."""

    def __init__(self, loop: EventLoop, conn_id: ConnId, sock: socket.socket) -> None:
        self._loop = loop
        self._conn_id = conn_id
        self._socket = sock
        self._mask: int = select.EPOLLIN
        self._blocked = False
        """It takes nothing until the epoll set says so."""
        loop.add(sock, self)

    def ready(self, mask: int) -> None:
        """Read, and write what it did not take before."""
        if mask & select.EPOLLOUT:
            self._blocked = False
            self.send()
        if not self._alive or not mask & ~select.EPOLLOUT:
            return
        if self._loop.daemon.wants_input(self._conn_id):
            self._receive()
        elif mask & (select.EPOLLHUP | select.EPOLLERR):
            # Reported whether asked for or not; it will never take its replies.
            self.close()

    @property
    def _alive(self) -> bool:
        return self._socket.fileno() >= 0

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self._loop.carry_out(self._loop.daemon.feed(self._conn_id, data))
        else:
            self.close()

    def send(self) -> None:
        """Send what the daemon has for it, as far as it takes it now."""
        daemon = self._loop.daemon
        while not self._blocked and self._alive and (output := daemon.output(self._conn_id)):
            try:
                size = self._socket.send(output)
            except (BlockingIOError, InterruptedError):
                self._blocked = True
            except OSError:
                self.close()
            else:
                self._loop.carry_out(daemon.sent(self._conn_id, size))
        if self._alive:
            self._watch()

    def _watch(self) -> None:
        mask = select.EPOLLIN if self._loop.daemon.wants_input(self._conn_id) else 0
        if self._blocked:
            mask |= select.EPOLLOUT
        if mask != self._mask:
            self._mask = mask
            self._loop.watch_for(self._socket, mask)

    def close(self) -> None:
        """End it; its watches and transactions go with it."""
        self._loop.daemon.disconnect(self._conn_id)
        self._loop.forget_client(self._conn_id)
        self._loop.remove(self._socket)
