"""The xenstored's end of a ring, without I/O: what it reads and writes in the page, and when."""

from xenstore_sim.ring.byte_queue import ByteQueue
from xenstore_sim.ring.page import (
    RING_SIZE,
    ConnectionState,
    Field,
    RingError,
    RingPage,
    ServerFeature,
)
from xenstore_sim.wire.layout import HEADER, HEADER_SIZE, PAYLOAD_MAX


class ServerEnd:
    """Requests out of the page, responses into it. The other end is not trusted with anything."""

    __slots__ = ("_page", "_requests", "_responses", "_tells_errors")

    def __init__(self, page: RingPage, features: int | None, *, anew: bool = True) -> None:
        """Serve the page. features: bits to offer; None: a release that writes none.

        anew: with empty queues; else another served it before, and it stays as it is.
        """
        self._page = page
        self._requests = ByteQueue.requests(page)
        self._responses = ByteQueue.responses(page)
        # Releases without feature bits tell errors to every guest.
        self._tells_errors = features is None or bool(features & ServerFeature.ERROR)
        if not anew:
            return
        if features is not None:
            page.fields[Field.SERVER_FEATURES] = features
        self.reset()

    def read(self, most: int = RING_SIZE) -> bytes:
        """Bytes of requests, at most `most`, if there are any. Raises: BadIndex."""
        return self._requests.take(most)

    def read_message(self) -> bytes:
        """The request that begins here, as far as it is there; of an oversize one the header
        alone, as the domain sees how far it was read. Raises: BadIndex."""
        header = self._requests.take(HEADER_SIZE)
        if len(header) < HEADER_SIZE:
            return header
        length = HEADER.unpack(header)[3]
        return header + self._requests.take(length) if 0 < length <= PAYLOAD_MAX else header

    def write(self, data: bytes) -> int:
        """How many bytes of responses found room. Raises: BadIndex."""
        return self._responses.put(data) if data else 0

    def has_input(self) -> bool:
        """Whether `read` would give something. Raises: BadIndex."""
        return self._requests.used() > 0

    def reset(self) -> bool:
        """Empty both queues; True: a reconnect that the guest had requested is done by that."""
        fields = self._page.fields
        for index in (Field.REQ_CONS, Field.REQ_PROD, Field.RSP_CONS, Field.RSP_PROD):
            fields[index] = 0
        if fields[Field.CONNECTION] != ConnectionState.RECONNECT:
            return False
        fields[Field.CONNECTION] = ConnectionState.CONNECTED
        return True

    def tell_error(self, error: RingError) -> None:
        """Say why the ring is served no more, to a guest that was offered to be told."""
        if self._tells_errors:
            self._page.fields[Field.ERROR] = error
