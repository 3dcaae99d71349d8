"""A domain's own connection to xenstored, held for whoever will act for that domain."""

from __future__ import annotations

import socket
from enum import Enum
from typing import Protocol

from xenstore_sim.client.ring_transport import RingDescriptors


class StoreTransport(Enum):
    """What carries a domain's xenstore messages."""

    SOCKET = "socket"
    RING = "ring"


class DomainConnection(Protocol):
    """One connection, to be handed to one process."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the process gets: one socket, or the ring's page, the doorbell that wakes
        xenstored and the one that xenstored rings."""

    def handed_over(self) -> None:
        """The process has its copies of the descriptors: close ours."""

    def close(self) -> None:
        """The process is gone, or was never there: nothing of the connection stays here."""


class SocketConnection:
    """A connected stream socket; its end is the connection's."""

    __slots__ = ("_socket",)

    def __init__(self, connected: socket.socket) -> None:
        """connected: is ours now."""
        self._socket = connected

    @property
    def descriptors(self) -> tuple[int, ...]:
        return (self._socket.fileno(),)

    def handed_over(self) -> None:
        self._socket.close()

    def close(self) -> None:
        self._socket.close()


class RingConnection:
    """A shared page with its doorbells. It is the domain's as long as the socket is open over
    which xenstored handed it out, and that one stays here: a ring has no end of its own."""

    __slots__ = ("_lifeline", "_ring", "descriptors")

    def __init__(self, ring: RingDescriptors, lifeline: socket.socket) -> None:
        """All descriptors are ours now."""
        self._ring: RingDescriptors | None = ring
        self._lifeline = lifeline
        self.descriptors = (ring.page, ring.to_server, ring.to_client)

    def handed_over(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def close(self) -> None:
        self.handed_over()
        self._lifeline.close()
