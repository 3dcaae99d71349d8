"""A guest's side of the ring it shares with xenstored, as small as it can be.

Source: xen/include/public/io/xs_wire.h, xenstore_domain_interface.
"""

import mmap
import socket
from pathlib import Path

RING_SIZE = 1024
PAGE_SIZE = 4096
RESPONSES = 1024
"""Offset of the bytes for the guest; the requests are at 0."""
REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, FEATURES, CONNECTION, ERROR = range(2048, 2076, 4)
"""Offsets of the u32 fields."""
_ONE = (1).to_bytes(8, "little")
_U32 = 2**32


class RingBroken(Exception):
    """xenstored set the error field: it serves this ring no more."""


class GuestRing:
    """A page and the doorbell of its event channel.

    doorbell: writing 8 bytes rings the daemon, being readable with 8 bytes is the daemon ringing,
    as with an eventfd. The syscalls on it are what orders the accesses to the page around them.
    """

    def __init__(self, domid: int, page_path: Path, port: int, doorbell: socket.socket) -> None:
        self.domid = domid
        self.page_path = page_path
        self.port = port
        """The guest's number of the event channel: INTRODUCE wants it."""
        self.doorbell = doorbell
        with page_path.open("r+b") as file:
            self.page = mmap.mmap(file.fileno(), PAGE_SIZE)
        # `struct` with a byte order writes byte by byte, and the daemon would see torn indexes.
        self._fields = memoryview(self.page).cast("I")

    def field(self, offset: int) -> int:
        """A u32 of the page."""
        return self._fields[offset // 4]

    def set_field(self, offset: int, value: int) -> None:
        """Change a u32 of the page, in one store."""
        self._fields[offset // 4] = value % _U32

    def ring(self) -> None:
        """Tell the daemon that the page changed."""
        self.doorbell.send(_ONE)

    def wait(self) -> None:
        """Wait until the daemon rings. Raises: BlockingIOError when it never does."""
        self.doorbell.recv(8)

    def send(self, message: bytes) -> None:
        """Write bytes of any number, in pieces that find room."""
        rest = memoryview(message)
        while rest:
            prod = self.field(REQ_PROD)
            room = RING_SIZE - (prod - self.field(REQ_CONS)) % _U32
            piece, rest = rest[:room], rest[room:]
            start = prod % RING_SIZE
            first = min(len(piece), RING_SIZE - start)
            self.page[start : start + first] = bytes(piece[:first])
            self.page[: len(piece) - first] = bytes(piece[first:])
            self.set_field(REQ_PROD, prod + len(piece))
            self.ring()
            if rest:
                self.wait()
                self._check()

    def receive(self) -> bytes:
        """Bytes from the daemon, at least one; waits for them. Raises: RingBroken."""
        while not (taken := self.take()):
            self._check()
            self.wait()
        return taken

    def take(self) -> bytes:
        """The bytes that are in the ring now."""
        cons = self.field(RSP_CONS)
        used = (self.field(RSP_PROD) - cons) % _U32
        if not used:
            return b""
        start = cons % RING_SIZE
        first = min(used, RING_SIZE - start)
        at = RESPONSES + start
        taken = self.page[at : at + first] + self.page[RESPONSES : RESPONSES + used - first]
        self.set_field(RSP_CONS, cons + used)
        self.ring()
        return taken

    def close(self) -> None:
        """Let go of page and doorbell."""
        self.doorbell.close()
        self._fields.release()
        self.page.close()

    def _check(self) -> None:
        if error := self.field(ERROR):
            raise RingBroken(f"the ring of domain {self.domid} has the error {error}")
