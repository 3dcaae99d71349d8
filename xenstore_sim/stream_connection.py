"""A client on a connected stream socket, as the daemon serves it."""

import select
import socket
from typing import Final

from xenstore_sim.endpoint import Loop
from xenstore_sim.store.watches import ConnId

_RECEIVE_BYTES: Final = 8 * 1024
"""From each connection in each round: what makes the rounds fair."""
_READABLE: Final = select.EPOLLIN


class StreamConnection:
    """Moves bytes between a socket and the daemon's core."""

    def __init__(self, loop: Loop, conn_id: ConnId, sock: socket.socket) -> None:
        self._loop = loop
        self._conn_id = conn_id
        self._socket = sock
        self._mask: int = _READABLE
        self._blocked = False
        """It takes nothing until the epoll set says so."""
        loop.add(sock.fileno(), self, self._mask)
        loop.add_connection(conn_id, self)

    @property
    def descriptor(self) -> int:
        """For a program that takes this one's place."""
        return self._socket.fileno()

    def ready(self, mask: int) -> None:
        """Read, and write what it did not take before."""
        if mask == _READABLE:
            # The commonest: we wait for it only while the daemon wants its input.
            self._receive()
            return
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
        if not data:
            self.close()
            return
        if commands := self._loop.daemon.feed(self._conn_id, data):
            self._loop.carry_out(commands)
        self.send()

    def send(self) -> None:
        """Send what the daemon has for it, as far as it takes it now."""
        daemon, conn_id = self._loop.daemon, self._conn_id
        # Nothing, too, once the connection is closed.
        while not self._blocked and (output := daemon.output(conn_id)):
            try:
                size = self._socket.send(output)
            except (BlockingIOError, InterruptedError):
                self._blocked = True
            except OSError:
                self.close()
            else:
                if commands := daemon.sent(conn_id, size):
                    self._loop.carry_out(commands)
        self._watch()
        if self._blocked:
            daemon.blocked(conn_id)

    def _watch(self) -> None:
        mask = _READABLE if self._loop.daemon.wants_input(self._conn_id) else 0
        if self._blocked:
            mask |= select.EPOLLOUT
        if mask != self._mask and self._alive:
            self._mask = mask
            self._loop.watch_for(self._socket.fileno(), mask)

    def close(self) -> None:
        """End it; its watches and transactions go with it."""
        self._loop.forget_connection(self._conn_id)
        self._loop.carry_out(self._loop.daemon.disconnect(self._conn_id))
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        self._loop.descriptor_freed()
