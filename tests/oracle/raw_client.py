"""A synchronous client that speaks bytes, for comparing answers and not for using them."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

GET_DOMAIN_PATH, WATCH_EVENT, ERROR = 10, 15, 16
BARRIER_ID = 0xBA221E2
"""The request id of `flush`."""
_HEADER = struct.Struct("<4I")
HEADER_SIZE = _HEADER.size
BARRIER = _HEADER.pack(GET_DOMAIN_PATH, BARRIER_ID, 0, 2) + b"0\0"
"""The request whose reply ends `until_barrier`."""


@dataclass(frozen=True, slots=True)
class Message:
    """A reply or an event, as it was on the wire."""

    type: int
    req_id: int
    tx_id: int
    payload: bytes


def first_message(data: bytes | bytearray, at: int = 0) -> Message | None:
    """The message that begins at this offset; None when it is not whole."""
    if len(data) < at + _HEADER.size:
        return None
    type_, req_id, tx_id, size = _HEADER.unpack_from(data, at)
    start = at + _HEADER.size
    if len(data) < start + size:
        return None
    return Message(type_, req_id, tx_id, bytes(data[start : start + size]))


def parse(data: bytes | bytearray) -> Iterator[Message]:
    """The messages that these bytes are."""
    at = 0
    while (message := first_message(data, at)) is not None:
        yield message
        at += _HEADER.size + len(message.payload)
    assert at == len(data), f"half a message: {bytes(data[at:])!r}"


class ConnectionEnded(Exception):
    """The daemon closed the connection."""


class Transport(Protocol):
    """What carries a connection's bytes."""

    def send(self, message: bytes, /) -> object:
        """Pass on all of them."""

    def receive(self) -> bytes:
        """Some more, at least one; waits. Raises: ConnectionEnded, RingBroken, BlockingIOError."""

    def close(self) -> None:
        """End the connection."""


class SocketTransport:
    """A unix stream socket."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def send(self, message: bytes, /) -> None:
        """Pass on all of the bytes."""
        try:
            self._stream.sendall(message)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ConnectionEnded from error

    def receive(self) -> bytes:
        """Some more bytes, at least one."""
        try:
            received = self._stream.recv(65536)
        except ConnectionResetError as error:
            raise ConnectionEnded from error
        if not received:
            raise ConnectionEnded
        return received

    def close(self) -> None:
        """End the connection."""
        self._stream.close()


class RawClient:
    """One connection."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._received = bytearray()

    def send(self, type_: int, payload: bytes = b"", *, req_id: int = 1, tx_id: int = 0) -> None:
        """Send a request and do not wait for its reply."""
        self.transport.send(_HEADER.pack(type_, req_id, tx_id, len(payload)) + payload)

    def receive(self) -> Message:
        """The next reply or event."""
        while (message := self._next()) is None:
            self._received += self.transport.receive()
        return message

    def ask(self, type_: int, *strings: str | bytes, tx_id: int = 0) -> Message:
        """The reply to a request of NUL-terminated strings; no event may come before it."""
        texts = (each.encode() if isinstance(each, str) else each for each in strings)
        self.send(type_, b"".join(each + b"\0" for each in texts), tx_id=tx_id)
        reply = self.receive()
        assert reply.type != WATCH_EVENT, reply
        return reply

    def flush(self) -> tuple[Message, ...]:
        """All that the daemon told this client up to now: what it has yet to say comes later."""
        self.transport.send(BARRIER)
        return self.until_barrier()

    def until_barrier(self) -> tuple[Message, ...]:
        """All that comes before the reply to `BARRIER`, which was sent."""
        return tuple(self._until_barrier())

    def close(self) -> None:
        """End the connection."""
        self.transport.close()

    def _until_barrier(self) -> Iterator[Message]:
        while (message := self.receive()).req_id != BARRIER_ID:
            yield message

    def _next(self) -> Message | None:
        message = first_message(self._received)
        if message is not None:
            del self._received[: _HEADER.size + len(message.payload)]
        return message
