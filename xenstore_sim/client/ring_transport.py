"""A domain's ring as a client's transport, and how to get one from a daemon of ours."""

import mmap
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

import trio

from xenstore_sim.client.transport import connected
from xenstore_sim.ring.guest_end import GuestEnd
from xenstore_sim.ring.page import PAGE_SIZE, RingPage
from xenstore_sim.ring.shared_ring import HANDING_OUT, RING
from xenstore_sim.wire.errors import Disconnected

_CHUNKS_AT_ONCE: Final = 8
"""Read before other tasks get their turn: a daemon that writes on and on does not hold us."""
_DOORBELL_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class RingDescriptors:
    """What a domain needs to use its ring; whoever holds it closes it."""

    page: int
    to_server: int
    """Writing eight bytes rings the server's doorbell: an eventfd, or any socket."""
    to_client: int
    """Readable when the server rang; reading clears it. May be the same as `to_server`."""

    @classmethod
    async def receive(cls, control: socket.socket) -> Self:
        """What a daemon hands out on this connected, non-blocking socket. Raises: Disconnected."""
        await trio.lowlevel.wait_readable(control)
        try:
            data, fds, _, _ = socket.recv_fds(control, len(HANDING_OUT), 3, socket.MSG_CMSG_CLOEXEC)
        except OSError as error:
            raise Disconnected(f"no ring was handed out: {error.strerror or error}") from error
        if data != HANDING_OUT or len(fds) != 3:
            for fd in fds:
                os.close(fd)
            raise Disconnected(
                "the xenstore daemon handed out no ring: the domain has a connection already,"
                " or broke its ring and must be released"
            )
        return cls(*fds)

    def close(self) -> None:
        """Close them."""
        for fd in {self.page, self.to_server, self.to_client}:
            os.close(fd)


class RingTransport:
    """The client's end of a ring. It maps the page when it is made and opens nothing later, so a
    process may confine itself to read, write and poll afterwards."""

    __slots__ = ("_control", "_descriptors", "_end", "_memory", "_more", "_page")

    def __init__(self, descriptors: RingDescriptors, control: socket.socket | None = None) -> None:
        """descriptors, control: closed at the end, which may be at once. Raises: Disconnected."""
        self._descriptors = descriptors
        self._control = control
        try:
            self._memory = mmap.mmap(descriptors.page, PAGE_SIZE)
        except (OSError, ValueError) as error:
            descriptors.close()
            if control is not None:
                control.close()
            raise Disconnected(
                f"descriptor {descriptors.page} is no ring page of {PAGE_SIZE} bytes: {error}"
            ) from error
        self._page = RingPage(memoryview(self._memory))
        self._end = GuestEnd(self._page)
        self._more = False
        """The ring holds more, and no doorbell may ring for it."""
        for fd in (descriptors.to_server, descriptors.to_client):
            os.set_blocking(fd, False)

    def receive(self) -> bytes:
        """The bytes that came. Raises: BlockingIOError, Disconnected, BadIndex."""
        # In this order: what comes after the look into the ring, rings again.
        gone = self._clear_doorbell()
        chunks: list[bytes] = []
        while len(chunks) < _CHUNKS_AT_ONCE and (data := self._end.read()):
            chunks.append(data)
        self._more = len(chunks) == _CHUNKS_AT_ONCE
        if chunks:
            self._ring()
            return b"".join(chunks)
        if gone:
            raise Disconnected("the xenstore daemon closed the connection")
        raise BlockingIOError

    def send(self, data: bytearray) -> int:
        """How many bytes are in the ring. Raises: BlockingIOError, Disconnected, BadIndex."""
        size = self._end.write(data)
        if not size:
            raise BlockingIOError
        self._ring()
        return size

    async def wait(self, *, to_send: bool) -> None:
        """Return when the doorbell rang, for whichever way, or the ring is closed."""
        if self._more:
            await trio.lowlevel.checkpoint()
        else:
            with suppress(trio.ClosedResourceError):
                await trio.lowlevel.wait_readable(self._descriptors.to_client)

    def close(self) -> None:
        """Let go of the ring, and end every wait."""
        trio.lowlevel.notify_closing(self._descriptors.to_client)
        self._descriptors.close()
        self._page.release()
        self._memory.close()
        if self._control is not None:
            self._control.close()

    def _ring(self) -> None:
        # Full: it is ringing already. Broken: reading says so, after what is left in the ring.
        with suppress(BlockingIOError, ConnectionError):
            os.write(self._descriptors.to_server, RING)

    def _clear_doorbell(self) -> bool:
        """Whether the server hung up."""
        try:
            return not os.read(self._descriptors.to_client, _DOORBELL_BYTES)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True


async def obtain_ring(path: str) -> RingTransport:
    """The ring that a daemon hands out at this unix socket. Raises: Disconnected."""
    control = await connected(path)
    try:
        descriptors = await RingDescriptors.receive(control)
    except BaseException:
        control.close()
        raise
    return RingTransport(descriptors, control)
