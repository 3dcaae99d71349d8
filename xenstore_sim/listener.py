"""A socket that accepts: the daemon's own, a domain's, or that of a domain's ring."""

import select
import socket
from collections.abc import Callable

from xenstore_sim.endpoint import NO_DESCRIPTORS, Loop


class Listener:
    """A listening socket in the epoll set."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        serve: Callable[[socket.socket], None],
        may_accept: Callable[[], bool] = lambda: True,
    ) -> None:
        """serve: takes each accepted socket, non-blocking. Raises: OSError, with `sock` open.

        may_accept: False: who waits is to wait until a descriptor is free.
        """
        self._may_accept = may_accept
        self._loop = loop
        self._socket = sock
        self._serve = serve
        loop.add(sock.fileno(), self, select.EPOLLIN)

    @property
    def descriptor(self) -> int:
        """For a program that takes this one's place."""
        return self._socket.fileno()

    def ready(self, mask: int) -> None:
        """Accept the first who waits; for the next one the socket stays readable."""
        if not self._may_accept():
            self._loop.pause(self, self._socket.fileno())
            return
        try:
            sock, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in NO_DESCRIPTORS:
                raise
            self._loop.daemon.refuse_connection()
            self._loop.pause(self, self._socket.fileno())
            return
        sock.setblocking(False)
        self._serve(sock)

    def close(self) -> None:
        """Accept no more."""
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        self._loop.descriptor_freed()
