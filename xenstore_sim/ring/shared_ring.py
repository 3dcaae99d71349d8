"""A ring page and its doorbells, as a daemon makes them for a client on the same machine."""

import fcntl
import mmap
import os
import socket
import struct
from contextlib import ExitStack
from typing import Final, Self

from xenstore_sim.ring.page import PAGE_SIZE, RingPage

RING: Final = struct.pack("=Q", 1)
"""What is written to a doorbell; eventfds want eight bytes."""
HANDING_OUT: Final = b"\x01"
"""The byte that carries the descriptors of page, doorbell to the server, doorbell to the client."""
# The page's size is fixed for good: a peer that made it smaller would kill us by SIGBUS.
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class SharedRing:
    """A page and its doorbells; what the daemon keeps of them, and what the client gets.

    The page's descriptor is kept, too: a program that takes the daemon's place maps it again.
    Nothing that the client does to its descriptors can block us. The doorbell to the server is an
    eventfd of which we wait for edges: we never read it. That to the client is a socket, not an
    eventfd: O_NONBLOCK of an eventfd would be the client's too, who could clear it, fill the
    counter and so block our next write. Each end of a socket pair has flags of its own; and ours
    tells the client when we are gone.
    """

    __slots__ = ("_memory", "_page", "_theirs", "_to_client", "page", "to_server")

    def __init__(self, name: str) -> None:
        """A fresh one. name: what /proc calls the page. Raises: OSError, with nothing left open."""
        with ExitStack() as opened:
            page = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            opened.callback(os.close, page)
            os.ftruncate(page, PAGE_SIZE)
            fcntl.fcntl(page, fcntl.F_ADD_SEALS, _SEALS)
            self.to_server = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            opened.callback(os.close, self.to_server)
            self._to_client, theirs = socket.socketpair()
            opened.callback(self._to_client.close)
            opened.callback(theirs.close)
            self._to_client.setblocking(False)
            theirs.setblocking(False)
            self._map(page)
            opened.pop_all()
        self._theirs: int | None = theirs.detach()

    @classmethod
    def taken_over(cls, page: int, to_server: int, to_client: int) -> Self:
        """One that another program had. Raises: OSError."""
        ring = cls.__new__(cls)
        ring.to_server = to_server
        ring._to_client = socket.socket(fileno=to_client)
        ring._theirs = None
        ring._map(page)
        return ring

    @property
    def descriptors(self) -> tuple[int, int, int]:
        """Page, doorbell to the server, doorbell to the client."""
        return self._page, self.to_server, self._to_client.fileno()

    def _map(self, page: int) -> None:
        self._memory = mmap.mmap(page, PAGE_SIZE)
        self._page = page
        self.page = RingPage(memoryview(self._memory))

    def hand_out(self, control: socket.socket) -> None:
        """Send the client its descriptors; once. Raises: OSError."""
        assert self._theirs is not None, "a ring is handed out once"
        socket.send_fds(control, [HANDING_OUT], [self._page, self.to_server, self._theirs])
        self._close_theirs()

    def ring(self) -> None:
        """Ring the client's doorbell."""
        try:
            self._to_client.send(RING)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            # Full: it is ringing. Broken: the client does not want to hear it.
            return

    def close(self) -> None:
        """Let go of page and doorbells."""
        self.page.release()
        self._memory.close()
        os.close(self._page)
        os.close(self.to_server)
        self._to_client.close()
        self._close_theirs()

    def _close_theirs(self) -> None:
        if self._theirs is not None:
            os.close(self._theirs)
            self._theirs = None
