"""What carries a hostile device model's bytes to xenstored: a socket, or a shared ring page.

The ring keeps to nobody's rules but those of whoever uses it: its fields are there to be spoiled.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import struct
import time
from typing import Protocol

from xenstore_sim.ring.page import PAGE_SIZE, RING_SIZE, Field

_READ_BYTES = 1 << 16
_DOORBELL = struct.pack("=Q", 1)
_AGAIN_S = 0.05
"""A doorbell may be missed by one that was told to spoil it."""


class Wire(Protocol):
    """One connection to xenstored."""

    def send(self, data: bytes, seconds: float) -> None:
        """All of it in so many seconds. Raises: OSError."""

    def receive(self, seconds: float) -> bytes:
        """What came; nothing if xenstored hung up. Raises: OSError, of which TimeoutError."""


class SocketWire:
    """A connected stream socket."""

    def __init__(self, connection: socket.socket) -> None:
        """connection: is ours now."""
        self._socket = connection

    def send(self, data: bytes, seconds: float) -> None:
        self._socket.settimeout(seconds)
        self._socket.sendall(data)

    def receive(self, seconds: float) -> bytes:
        self._socket.settimeout(seconds)
        return self._socket.recv(_READ_BYTES)


class RingWire:
    """The guest's end of a ring."""

    def __init__(self, page: int, to_server: int, to_client: int) -> None:
        """The descriptors of the page and of both doorbells."""
        self.page = page
        self.to_server = to_server
        self.to_client = to_client
        memory = memoryview(mmap.mmap(page, PAGE_SIZE))
        self.requests = memory[:RING_SIZE]
        self._responses = memory[RING_SIZE : 2 * RING_SIZE]
        self.fields = memory.cast("I")

    def ring(self) -> None:
        """Wakes xenstored."""
        os.write(self.to_server, _DOORBELL)

    def put(self, data: bytes) -> int:
        """How many bytes of the beginning of `data` found room."""
        prod = self.fields[Field.REQ_PROD]
        free = RING_SIZE - (prod - self.fields[Field.REQ_CONS]) % 2**32
        start = prod % RING_SIZE
        size = min(len(data), max(free, 0), RING_SIZE - start)
        self.requests[start : start + size] = data[:size]
        self.fields[Field.REQ_PROD] = (prod + size) % 2**32
        self.ring()
        return size

    def send(self, data: bytes, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while data := data[self.put(data) :]:
            self._wait(deadline)

    def receive(self, seconds: float) -> bytes:
        deadline = time.monotonic() + seconds
        while True:
            cons = self.fields[Field.RSP_CONS]
            used = (self.fields[Field.RSP_PROD] - cons) % 2**32
            if 0 < used <= RING_SIZE:
                start = cons % RING_SIZE
                data = bytes(self._responses[start : min(start + used, RING_SIZE)])
                self.fields[Field.RSP_CONS] = (cons + len(data)) % 2**32
                self.ring()
                return data
            self._wait(deadline)

    def _wait(self, deadline: float) -> None:
        """Until the doorbell rings, or for a moment. Raises: ConnectionError, TimeoutError."""
        if error := self.fields[Field.ERROR]:
            raise ConnectionResetError(error, f"error {error} in the page")
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if select.select([self.to_client], [], [], min(left, _AGAIN_S))[0]:
            os.read(self.to_client, _READ_BYTES)
