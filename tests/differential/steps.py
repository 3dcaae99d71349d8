"""What can happen in a conversation, one line each when printed."""

from dataclasses import dataclass, field
from typing import NewType

from xenstore_sim.wire.ops import Op

Who = NewType("Who", str)
"""A connection: `a`, `b` are sockets of dom0, `d1` is the ring of domain 1."""
FIRST, SECOND = Who("a"), Who("b")
SOCKETS = (FIRST, SECOND)
DOMIDS = (1, 2, 3)
UNKNOWN_TX = 4_000_000_000


def ring_of(domid: int) -> Who:
    """The connection of a domain."""
    return Who(f"d{domid}")


def domid_of(who: Who) -> int:
    """The domain that a connection is of."""
    return 0 if who in SOCKETS else int(who[1:])


@dataclass(frozen=True, slots=True)
class Request:
    """A request, well-formed or not.

    tx: 0 for none, N for the Nth youngest open transaction of the connection; where that many are
    not open it is the id itself.
    """

    type: int
    payload: bytes = field(repr=False)
    tx: int = 0

    def __repr__(self) -> str:
        name = Op(self.type).name if self.type in Op.__members__.values() else str(self.type)
        payload = repr(self.payload)
        if len(payload) > 100:
            payload = f"{payload[:40]}... {len(self.payload)} bytes"
        return f"{name} {payload}" + (f" in tx {self.tx}" if self.tx else "")


@dataclass(frozen=True, slots=True)
class Say:
    """Requests in one write; they go on before the first is answered."""

    who: Who
    requests: tuple[Request, ...]

    def __repr__(self) -> str:
        return f"{self.who}: " + " | ".join(map(repr, self.requests))


@dataclass(frozen=True, slots=True)
class Oversize:
    """A header that announces 4097 bytes."""

    who: Who


@dataclass(frozen=True, slots=True)
class Reconnect:
    """A socket is closed, and opened again."""

    who: Who


@dataclass(frozen=True, slots=True)
class Create:
    """The hypervisor has the domain, with its page and a new event channel."""

    domid: int


@dataclass(frozen=True, slots=True)
class Introduce:
    """INTRODUCE, with the channel that the domain has."""

    who: Who
    domid: int


@dataclass(frozen=True, slots=True)
class ShutDown:
    """The domain stopped; the hypervisor has it still."""

    domid: int


@dataclass(frozen=True, slots=True)
class Destroy:
    """The hypervisor has the domain no more."""

    domid: int


Step = Say | Oversize | Reconnect | Create | Introduce | ShutDown | Destroy
