"""A domain's own connection to xenstored, held for whoever will act for that domain."""

from __future__ import annotations

import socket
from typing import Protocol


class DomainConnection(Protocol):
    """One connection, to be handed to one process."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the process gets."""

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
