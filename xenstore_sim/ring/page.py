"""The page that a domain shares with its xenstored: where its fields lie and what they mean.

Source: xen/include/public/io/xs_wire.h, struct xenstore_domain_interface.
"""

from enum import IntEnum, IntFlag
from typing import Final

PAGE_SIZE: Final = 4096
RING_SIZE: Final = 1024
"""Bytes of each of the two queues; a power of two, as the indexes run over."""


class Field(IntEnum):
    """Fields after the two queues. The value is the offset in u32, not in bytes."""

    REQ_CONS = 2048 // 4
    REQ_PROD = 2052 // 4
    RSP_CONS = 2056 // 4
    RSP_PROD = 2060 // 4
    SERVER_FEATURES = 2064 // 4
    CONNECTION = 2068 // 4
    ERROR = 2072 // 4
    EVTCHN_PORT = 2076 // 4
    """Xen's, for domains that it starts itself; neither end writes it."""


class ServerFeature(IntFlag):
    """Bits of SERVER_FEATURES: what a guest may ask of its xenstored."""

    RECONNECTION = 1
    """Not offered, as by C xenstored: then a guest must not request it."""
    ERROR = 2
    WATCH_DEPTH = 4
    DOMID_ANY = 8


class ConnectionState(IntEnum):
    """CONNECTION."""

    CONNECTED = 0
    RECONNECT = 1
    """Written by the guest; the server answers with CONNECTED."""


class RingError(IntEnum):
    """ERROR: why the server serves the ring no more."""

    NONE = 0
    COMMUNICATION = 1
    """The event channel failed."""
    INDEX = 2
    """More than RING_SIZE bytes between the indexes of a queue."""
    PROTOCOL = 3
    """A message announced more bytes than one may have."""


class RingPage:
    """The page's queues and fields, over memory that somebody else may write at any time.

    Reading a field is one load of 32 bits and writing it one store: `memoryview` items are moved
    whole, where `struct` with a byte order would go byte by byte and could tear them. No barrier
    is needed beside that: x86 keeps the order of loads and that of stores, the interpreter has no
    reason to change it, and the system call of the doorbell orders a store before later loads.
    """

    __slots__ = ("fields", "requests", "responses")

    def __init__(self, memory: memoryview) -> None:
        """memory: PAGE_SIZE writable bytes; held until `release`."""
        assert len(memory) == PAGE_SIZE, f"a page of {len(memory)} bytes"
        self.requests = memory[:RING_SIZE]
        self.responses = memory[RING_SIZE : 2 * RING_SIZE]
        self.fields = memory.cast("I")

    def release(self) -> None:
        """Hold the memory no more."""
        for view in (self.requests, self.responses, self.fields):
            view.release()
