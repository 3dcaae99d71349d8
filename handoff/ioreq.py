"""The ioreq channel: how a machine asks the device model about a port it does not own.

A message is Xen's `struct ioreq`, 32 bytes, one to a packet of a SOCK_SEQPACKET socket. The
machine sends one in state READY and waits; the device model answers with the same structure in
state RESPONSE_READY. On Xen the structure lies in a shared page and event channels say when to
look; the fields, and what they mean, are the same.

Source: xen/include/public/hvm/ioreq.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from handoff.addresses import AddressError, Gpa, GpaRange
from handoff.errors import PeerMisbehaved

IOREQ_BYTES: Final = 32
COUNT_MAX: Final = 1 << 20
"""Most repetitions of one request; a machine splits a longer string instruction."""
PORT_LIMIT: Final = 1 << 16
_IOREQ: Final = struct.Struct("<QQIIIHBB")
assert _IOREQ.size == IOREQ_BYTES

_STATE_MASK: Final = 0x0F
_DATA_IS_PTR: Final = 0x10
_READ: Final = 0x20
_DESCENDING: Final = 0x40
_PAD: Final = 0x80


class IoreqType(IntEnum):
    """The two of Xen's request types that are accesses."""

    PIO = 0
    """addr is an I/O port"""
    COPY = 1
    """addr is a guest physical address where there is no RAM"""


class IoreqState(IntEnum):
    READY = 1
    """the device model's turn"""
    RESPONSE_READY = 3
    """the machine's turn"""


class Direction(IntEnum):
    WRITE = 0
    READ = 1


@dataclass(frozen=True, slots=True)
class Ioreq:
    """One access, or `count` of them to the same port.

    data: the value written or, in the answer, read; with data_is_ptr the guest physical address
    of the first value. From there the values go up, or down if `descending` (EFLAGS.DF).
    """

    type: IoreqType
    direction: Direction
    addr: int
    size: int
    """bytes of one access: 1, 2 or 4; COPY also 8"""
    data: int = 0
    count: int = 1
    data_is_ptr: bool = False
    descending: bool = False
    state: IoreqState = IoreqState.READY

    @property
    def buffer(self) -> GpaRange:
        """The RAM that a request with data_is_ptr reads or fills.

        Raises: AddressError if it leaves what can be addressed.
        """
        assert self.data_is_ptr
        before = (self.count - 1) * self.size if self.descending else 0
        return GpaRange(Gpa(self.data - before), self.count * self.size)

    def answered(self, data: int | None = None) -> Ioreq:
        """The answer to this request; `data` is what a READ gives, None keeps the field."""
        return replace(
            self,
            state=IoreqState.RESPONSE_READY,
            data=self.data if data is None else data,
        )

    def encode(self) -> bytes:
        """IOREQ_BYTES as they are sent."""
        bits = (
            self.state
            | (_DATA_IS_PTR if self.data_is_ptr else 0)
            | (_READ if self.direction is Direction.READ else 0)
            | (_DESCENDING if self.descending else 0)
        )
        return _IOREQ.pack(self.addr, self.data, self.count, self.size, 0, 0, bits, self.type)


def decode_request(packet: bytes) -> Ioreq:
    """The request in `packet`. Raises: PeerMisbehaved with the field that is wrong."""
    return _decode(packet, IoreqState.READY)


def decode_answer(packet: bytes, request: Ioreq) -> Ioreq:
    """The answer to `request`. Raises: PeerMisbehaved if it answers anything else."""
    answer = _decode(packet, IoreqState.RESPONSE_READY)
    if answer != request.answered(answer.data):
        raise PeerMisbehaved(f"ioreq: {answer} is no answer to {request}")
    return answer


def _decode(packet: bytes, expected: IoreqState) -> Ioreq:
    if len(packet) != IOREQ_BYTES:
        raise _refused("length", len(packet), f"a request has {IOREQ_BYTES} bytes")
    addr, data, count, size, eport, pad, bits, kind = _IOREQ.unpack(packet)
    if kind not in IoreqType.__members__.values():
        raise _refused("type", kind, "PIO is 0, COPY is 1")
    type_ = IoreqType(kind)
    if bits & _STATE_MASK != expected:
        raise _refused("state", bits & _STATE_MASK, f"must be {expected.value}")
    if eport or pad or bits & _PAD:
        raise _refused("vp_eport, padding", eport | pad | bits & _PAD, "must be 0")
    if size not in ((1, 2, 4) if type_ is IoreqType.PIO else (1, 2, 4, 8)):
        raise _refused("size", size, "bytes of one access: 1, 2 or 4, COPY also 8")
    if not 1 <= count <= COUNT_MAX:
        raise _refused("count", count, f"must be 1 to {COUNT_MAX:#x}")
    if type_ is IoreqType.PIO and addr + size > PORT_LIMIT:
        raise _refused("addr", addr, f"the last port is {PORT_LIMIT - 1:#x}")
    request = Ioreq(
        type_,
        Direction.READ if bits & _READ else Direction.WRITE,
        addr,
        size,
        data,
        count,
        bool(bits & _DATA_IS_PTR),
        bool(bits & _DESCENDING),
        expected,
    )
    if request.data_is_ptr:
        try:
            request.buffer  # noqa: B018  (built from addresses of the peer)
        except AddressError as error:
            raise _refused("data", data, str(error)) from error
    elif count != 1:
        raise _refused("count", count, "must be 1 without data_is_ptr")
    elif data >> 8 * size and (expected is IoreqState.READY or request.direction is Direction.READ):
        raise _refused("data", data, f"does not fit into {size} bytes")
    return request


def _refused(field: str, found: int, rule: str) -> PeerMisbehaved:
    return PeerMisbehaved(f"ioreq {field} is {found:#x}: {rule}")
