"""A domain's end of its ring, without I/O."""

from typing import Final

from xenstore_sim.ring.byte_queue import ByteQueue
from xenstore_sim.ring.page import Field, RingError, RingPage
from xenstore_sim.wire.errors import Disconnected

_REASONS: Final[dict[int, str]] = {
    RingError.COMMUNICATION: "its event channel failed",
    RingError.INDEX: "an index of ours was out of bounds",
    RingError.PROTOCOL: "a message of ours was too long",
}


class GuestEnd:
    """Requests into the page, responses out of it; whatever the server says is checked.

    The indexes need not begin at 0: who used the ring before left them as they are.
    """

    __slots__ = ("_fields", "_req_prod", "_requests", "_responses", "_rsp_cons")

    def __init__(self, page: RingPage) -> None:
        self._fields = page.fields
        self._requests = ByteQueue.requests(page)
        self._responses = ByteQueue.responses(page)
        self._req_prod: int = page.fields[Field.REQ_PROD]
        self._rsp_cons: int = page.fields[Field.RSP_CONS]

    def read(self) -> bytes:
        """Bytes of responses, if there are any. Raises: BadIndex, Disconnected."""
        self._check()
        data = self._responses.take()
        self._rsp_cons = self._fields[Field.RSP_CONS]
        return data

    def write(self, data: bytes | bytearray) -> int:
        """How many bytes of requests found room. Raises: BadIndex, Disconnected."""
        self._check()
        size = self._requests.put(data)
        self._req_prod = self._fields[Field.REQ_PROD]
        return size

    def _check(self) -> None:
        """Raises: Disconnected when the server ended or reset the ring."""
        if error := self._fields[Field.ERROR]:
            reason = _REASONS.get(error, "for a reason we do not know")
            raise Disconnected(f"the xenstore daemon gave up this ring, error {error}: {reason}")
        if (
            self._fields[Field.REQ_PROD] != self._req_prod
            or self._fields[Field.RSP_CONS] != self._rsp_cons
        ):
            # Only the server resets our own indexes. Where the next message begins is unknown
            # then, and requests and watches are lost.
            raise Disconnected(
                "the xenstore daemon began this ring anew, as at a second INTRODUCE:"
                " make a new client on it"
            )
