"""A ring page and its doorbells, as a daemon makes them for a client on the same machine."""

import fcntl
import mmap
import os
import socket
import struct
from contextlib import ExitStack, suppress
from typing import Final

from xenstore_sim.ring.page import PAGE_SIZE, RingPage

RING: Final = struct.pack("=Q", 1)
"""What is written to a doorbell; eventfds want eight bytes."""
HANDING_OUT: Final = b"\x01"
"""The byte that carries the descriptors of page, doorbell to the server, doorbell to the client."""
# The page's size is fixed for good: a peer that made it smaller would kill us by SIGBUS.
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class SharedRing:
    """A fresh page; what the daemon keeps of it, and what the client gets.

    Nothing that the client does to its descriptors can block us. The doorbell to the server is an
    eventfd of which we wait for edges: we never read it. That to the client is a socket, not an
    eventfd: O_NONBLOCK of an eventfd would be the client's too, who could clear it, fill the
    counter and so block our next write. Each end of a socket pair has flags of its own; and ours
    tells the client when we are gone.
    """

    __slots__ = ("_memory", "_theirs", "_to_client", "page", "to_server")

    def __init__(self, name: str) -> None:
        """name: what /proc calls the page. Raises: OSError, with nothing left open."""
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
            self._memory = mmap.mmap(page, PAGE_SIZE)
            opened.pop_all()
        self._theirs: tuple[int, ...] = (page, theirs.detach())
        self.page = RingPage(memoryview(self._memory))

    def hand_out(self, control: socket.socket) -> None:
        """Send the client its descriptors; once. Raises: OSError."""
        page, to_client = self._theirs
        socket.send_fds(control, [HANDING_OUT], [page, self.to_server, to_client])
        self._close_theirs()

    def ring(self) -> None:
        """Ring the client's doorbell."""
        # Full: it is ringing. Broken: the client does not want to hear it.
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self._to_client.send(RING)

    def close(self) -> None:
        """Let go of page and doorbells."""
        self.page.release()
        self._memory.close()
        os.close(self.to_server)
        self._to_client.close()
        self._close_theirs()

    def _close_theirs(self) -> None:
        for fd in self._theirs:
            os.close(fd)
        self._theirs = ()
