"""A domain on its ring with nothing between the test and the page."""

import mmap
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import trio

from xenstore_sim.client.ring_transport import RingDescriptors
from xenstore_sim.client.transport import connected
from xenstore_sim.ring.byte_queue import ByteQueue
from xenstore_sim.ring.page import PAGE_SIZE, RingPage
from xenstore_sim.ring.shared_ring import RING
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.layout import Packet


class RawGuest:
    """The page, the doorbells and the socket they came by; it may do with them what it likes."""

    def __init__(
        self, control: socket.socket, descriptors: RingDescriptors, page: RingPage
    ) -> None:
        self.control = control
        self.descriptors = descriptors
        self.page = page
        self._requests = ByteQueue.requests(page)
        self._responses = ByteQueue.responses(page)
        self._decoder = Decoder()

    def put(self, data: bytes) -> int:
        """How many bytes of requests found room."""
        return self._requests.put(data)

    def ring(self) -> None:
        with suppress(BlockingIOError):
            os.write(self.descriptors.to_server, RING)

    async def send(self, data: bytes) -> None:
        """Put all of it into the ring, and take nothing out."""
        while data:
            data = data[self.put(data) :]
            self.ring()
            # Nothing else to wait for that other tests' readers would not take away.
            await trio.lowlevel.checkpoint()

    async def receive(self) -> Packet:
        """The next reply or event."""
        while (packet := self._decoder.next_packet()) is None:
            if data := self._responses.take():
                self._decoder.feed(data)
                self.ring()
            else:
                await trio.lowlevel.wait_readable(self.descriptors.to_client)
                if not os.read(self.descriptors.to_client, 4096):
                    raise EOFError
        return packet


@asynccontextmanager
async def raw_guest(path: Path) -> AsyncIterator[RawGuest]:
    """Who connects to this ring socket."""
    with await connected(str(path)) as control:
        descriptors = await RingDescriptors.receive(control)
        try:
            with mmap.mmap(descriptors.page, PAGE_SIZE) as memory, page_of(memory) as page:
                yield RawGuest(control, descriptors, page)
        finally:
            descriptors.close()


@contextmanager
def page_of(memory: mmap.mmap) -> Iterator[RingPage]:
    """The page in mapped memory, which can be unmapped afterwards."""
    page = RingPage(memoryview(memory))
    try:
        yield page
    finally:
        page.release()
