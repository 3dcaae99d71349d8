"""What carries a client's bytes: the port that the pump works over, and stream sockets."""

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

import trio

from xenstore_sim.wire.errors import Disconnected

_RECEIVE_BYTES: Final = 64 * 1024


class Transport(Protocol):
    """A connected transport; nothing but `wait` ever blocks."""

    def receive(self) -> bytes:
        """The bytes that came. Raises: BlockingIOError when none did; Disconnected;
        ProtocolViolation."""

    def send(self, data: bytearray) -> int:
        """How many bytes of the beginning are on their way. Raises: BlockingIOError when it takes
        none now; Disconnected; ProtocolViolation."""

    async def wait(self, *, to_send: bool) -> None:
        """Return when `receive` or, if asked for, `send` has something to do, sometimes for
        nothing, and when the transport is closed."""

    def close(self) -> None:
        """End it, and every wait."""


class SocketTransport:
    """A connected, non-blocking stream socket."""

    __slots__ = ("_socket",)

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def receive(self) -> bytes:
        """The bytes that came. Raises: BlockingIOError, Disconnected."""
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            raise
        except OSError as error:
            raise _broke(error) from error
        if not data:
            raise Disconnected("the xenstore daemon closed the connection")
        return data

    def send(self, data: bytearray) -> int:
        """How many bytes are on their way. Raises: BlockingIOError, Disconnected."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            raise
        except OSError as error:
            raise _broke(error) from error

    async def wait(self, *, to_send: bool) -> None:
        """Return when the socket is readable or closed or, if asked for, writable."""
        if not to_send:
            await self._until(trio.lowlevel.wait_readable)
            return
        async with trio.open_nursery() as nursery:

            async def first(wait: Callable[[socket.socket], Awaitable[None]]) -> None:
                await self._until(wait)
                nursery.cancel_scope.cancel()

            nursery.start_soon(first, trio.lowlevel.wait_readable)
            nursery.start_soon(first, trio.lowlevel.wait_writable)

    async def _until(self, wait: Callable[[socket.socket], Awaitable[None]]) -> None:
        # Our own close(); what the others wait for tells them.
        with suppress(trio.ClosedResourceError):
            await wait(self._socket)

    def close(self) -> None:
        """Close the socket, and end every wait."""
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()


def _broke(error: OSError) -> Disconnected:
    return Disconnected(f"the xenstore connection broke: {error.strerror or error}")


async def connected(path: str) -> socket.socket:
    """A socket on which the daemon that listens there may answer. Raises: Disconnected."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
                return sock
            except BlockingIOError:
                # A unix socket whose queue is full: there is nothing to wait on but time.
                await trio.sleep(0.005)
    except OSError as error:
        sock.close()
        raise Disconnected(
            f"no xenstore daemon answers at {path} ({error.strerror or error}):"
            " start one (xenstore-sim --rundir DIR) or name the socket of another"
        ) from error
    except BaseException:
        sock.close()
        raise


def bare(stream: trio.SocketStream | socket.socket) -> socket.socket:
    """The socket alone, non-blocking."""
    if isinstance(stream, trio.SocketStream):
        stream = socket.socket(fileno=stream.socket.detach())
    stream.setblocking(False)
    return stream
