"""One direction of a ring: bytes between two indexes that run freely over 32 bits."""

from typing import Final

from xenstore_sim.ring.page import RING_SIZE, Field, RingPage
from xenstore_sim.wire.errors import ProtocolViolation

_INDEX_MASK: Final = 2**32 - 1
_OFFSET_MASK: Final = RING_SIZE - 1


class BadIndex(ProtocolViolation):
    """The indexes of a queue are further apart than its size: nothing in it means anything."""

    def __init__(self, cons_field: Field, cons: int, prod_field: Field, prod: int) -> None:
        super().__init__(cons_field, cons, prod_field, prod)
        self.cons_field = cons_field
        self.cons = cons
        self.prod_field = prod_field
        self.prod = prod

    def __str__(self) -> str:
        return (
            f"{self.prod_field.name.lower()} {self.prod:#x} is"
            f" {(self.prod - self.cons) & _INDEX_MASK:#x} bytes ahead of"
            f" {self.cons_field.name.lower()} {self.cons:#x}, a ring holds {RING_SIZE:#x}"
        )


class ByteQueue:
    """A queue in shared memory, for whichever end.

    Each call reads each index once and works with what it read, so the other end can change them
    at any time and spoil no more than its own bytes. A full queue and an empty one differ: the
    indexes do not wrap at RING_SIZE.
    """

    __slots__ = ("_cons", "_data", "_fields", "_prod")

    def __init__(self, fields: memoryview, data: memoryview, cons: Field, prod: Field) -> None:
        self._fields = fields
        self._data = data
        self._cons = cons
        self._prod = prod

    @classmethod
    def requests(cls, page: RingPage) -> "ByteQueue":
        """From the guest to the server."""
        return cls(page.fields, page.requests, Field.REQ_CONS, Field.REQ_PROD)

    @classmethod
    def responses(cls, page: RingPage) -> "ByteQueue":
        """From the server to the guest."""
        return cls(page.fields, page.responses, Field.RSP_CONS, Field.RSP_PROD)

    def used(self) -> int:
        """Bytes waiting. Raises: BadIndex."""
        cons, prod = self._fields[self._cons], self._fields[self._prod]
        used: int = (prod - cons) & _INDEX_MASK
        if used > RING_SIZE:
            raise BadIndex(self._cons, cons, self._prod, prod)
        return used

    def take(self, most: int = RING_SIZE) -> bytes:
        """The bytes that wait, at most `most` and up to the end of the buffer; they make room.

        Nothing when the queue is empty; the rest, if any, comes with the next call.
        Raises: BadIndex.
        """
        cons, prod = self._fields[self._cons], self._fields[self._prod]
        used = (prod - cons) & _INDEX_MASK
        if used > RING_SIZE:
            raise BadIndex(self._cons, cons, self._prod, prod)
        start = cons & _OFFSET_MASK
        data = bytes(self._data[start : min(start + used, start + most, RING_SIZE)])
        self._fields[self._cons] = (cons + len(data)) & _INDEX_MASK
        return data

    def put(self, data: bytes | bytearray | memoryview) -> int:
        """How many bytes of the beginning of `data` went in, at most up to the end of the buffer.

        Raises: BadIndex.
        """
        cons, prod = self._fields[self._cons], self._fields[self._prod]
        used = (prod - cons) & _INDEX_MASK
        if used > RING_SIZE:
            raise BadIndex(self._cons, cons, self._prod, prod)
        start = prod & _OFFSET_MASK
        size: int = min(len(data), RING_SIZE - used, RING_SIZE - start)
        self._data[start : start + size] = data[:size]
        self._fields[self._prod] = (prod + size) & _INDEX_MASK
        return size
