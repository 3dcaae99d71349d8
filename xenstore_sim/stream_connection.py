"""A client on a connected stream socket, as the daemon serves it."""

import select
import socket
from typing import Final

from xenstore_sim.endpoint import GONE, Loop, Stream
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
        self.send = sock.send
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
        if self._mask == _READABLE:
            # The commonest: the daemon wants its input, and a hang-up is an end of that.
            self._receive()
            return
        if mask & select.EPOLLOUT:
            self._blocked = False
            self._send()
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
        loop = self._loop
        reply = loop.daemon.reply_at_once(self._conn_id, data)
        if reply:
            loop.outgoing.reply(self._conn_id, self, reply)
        elif reply is None:
            if commands := loop.daemon.feed(self._conn_id, data):
                loop.carry_out(commands)
            self._send()

    def replied(self, reply: bytes, size: int) -> None:
        """The client took so many bytes of this, not all, ahead of all other output; or `GONE`."""
        if size == GONE:
            self.close()
        else:
            self._loop.daemon.keep(self._conn_id, reply, size)
            self._send()

    def offer(self) -> tuple[Stream, bytes] | None:
        """What to send to whom in one go with others; None: nothing."""
        output = self._output()
        if not output:
            # It may have to be read again, or what it is told while it takes nothing grows old.
            self._send()
            return None
        return self, output

    def account(self, size: int) -> bool:
        """The client took so many bytes of the output; False: `go_on` has something to do."""
        return size > 0 and self._loop.daemon.took(self._conn_id, size) and self._mask == _READABLE

    def go_on(self, size: int) -> None:
        """After `account`, with the same size: send the rest, as far as the client takes it."""
        if size == GONE:
            self.close()
        elif not size:
            self._blocked = True
        elif commands := self._loop.daemon.go_on(self._conn_id):
            self._loop.carry_out(commands)
        self._send()

    def _output(self) -> bytes:
        return b"" if self._blocked else self._loop.daemon.output(self._conn_id)

    def _send(self) -> None:
        """Send what the daemon has for it, as far as it takes it now."""
        # Nothing, too, once the connection is closed.
        while output := self._output():
            try:
                size = self.send(output)
            except (BlockingIOError, InterruptedError):
                self._blocked = True
            except OSError:
                self.close()
            else:
                if commands := self._loop.daemon.sent(self._conn_id, size):
                    self._loop.carry_out(commands)
        self._watch()
        if self._blocked:
            self._loop.daemon.blocked(self._conn_id)

    def _watch(self) -> None:
        mask = _READABLE if self._loop.daemon.wants_input(self._conn_id) else 0
        if self._blocked:
            mask |= select.EPOLLOUT
        if mask != self._mask and self._alive:
            self._mask = mask
            self._loop.watch_for(self._socket.fileno(), mask)

    def close(self) -> None:
        """End it; its watches and transactions go with it."""
        if not self._alive:
            return
        self._loop.forget_connection(self._conn_id)
        if commands := self._loop.daemon.disconnect(self._conn_id):
            self._loop.carry_out(commands)
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        self._loop.descriptor_freed()
