"""The records by which one xenstored hands its state to another.

Source: docs/designs/xenstore-migration.md of Xen; xenstore_state.h beside C xenstored.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from xenstore_sim.wire.names import NO_TX, DomId, Token, TxId
from xenstore_sim.wire.perms import Access

VERSIONS: Final = (1, 2)
"""Of the specification. Depths of watches and features of domains came with 2."""
DOMID_INVALID: Final = DomId(0x7FF4)
NO_DESCRIPTOR: Final = -1


class RecordType(IntEnum):
    """`type` of a record."""

    END = 0
    GLOBAL_DATA = 1
    CONNECTION_DATA = 2
    WATCH_DATA = 3
    TRANSACTION_DATA = 4
    NODE_DATA = 5
    GLOBAL_QUOTA_DATA = 6
    DOMAIN_DATA = 7
    WATCH_DATA_EXTENDED = 8
    """Only in version 2."""


@dataclass(frozen=True, slots=True)
class GlobalData:
    """What the whole daemon holds open."""

    socket_fd: int
    """Where clients connect; NO_DESCRIPTOR: nowhere."""
    evtchn_fd: int
    """Of Xen's event channels; NO_DESCRIPTOR: not used."""


@dataclass(frozen=True, slots=True)
class RingEnd:
    """A domain that was introduced, and its ring."""

    domid: DomId
    target: DomId | None
    """The domain that it acts for."""
    evtchn: int


@dataclass(frozen=True, slots=True)
class SocketEnd:
    """A client on a socket, which is dom0."""

    fd: int


@dataclass(frozen=True, slots=True)
class ConnectionData:
    """A connection and what is under way on it."""

    conn_id: int
    """Not 0; other records name the connection by it."""
    end: RingEnd | SocketEnd
    received: bytes = b""
    """Read from the client, not handled: whole requests or parts of them."""
    unsent: bytes = b""
    """Replies and events that the client did not take yet."""
    torn: int = 0
    """So many bytes of `unsent` are the rest of a message that was sent in part."""
    unique_id: int | None = None
    """Of the domain, as the hypervisor has it; only of rings."""


@dataclass(frozen=True, slots=True)
class WatchData:
    """A watch; WATCH_DATA_EXTENDED where it has a depth."""

    conn_id: int
    path: str
    """As the client wrote it."""
    token: Token
    depth: int | None = None
    """Levels below the path that matter; None: all."""


@dataclass(frozen=True, slots=True)
class TransactionData:
    """An open transaction."""

    conn_id: int
    tx_id: TxId


class NodeAccess(IntFlag):
    """What a transaction did with a node; nothing of it: the node is not there."""

    NONE = 0
    READ = 1
    WRITTEN = 2


@dataclass(frozen=True, slots=True)
class PermEntry:
    """An entry of a permission list."""

    access: Access
    domid: DomId
    stale: bool = False
    """It does not count: it was meant for an earlier domain of this id."""


@dataclass(frozen=True, slots=True)
class NodeData:
    """A node of the store, or as a transaction has it."""

    path: str
    value: bytes
    perms: tuple[PermEntry, ...]
    """The first is the owner; none: the node is not there in its transaction."""
    conn_id: int = 0
    """Whose transaction it belongs to; 0: it is in the store."""
    tx_id: TxId = NO_TX
    access: NodeAccess = NodeAccess.NONE


@dataclass(frozen=True, slots=True)
class GlobalQuotaData:
    """The quotas of the daemon; 0 stands for no bound."""

    of_domains: tuple[tuple[str, int], ...]
    """By name, what holds for each domain that has none of its own."""
    of_all: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class DomainData:
    """A domain that the daemon knows."""

    domid: DomId
    features: int
    """As its ring page has them; 0 in version 1."""
    quotas: tuple[tuple[str, int], ...] = ()


Record = (
    GlobalData
    | ConnectionData
    | WatchData
    | TransactionData
    | NodeData
    | GlobalQuotaData
    | DomainData
)
"""All but END, which only says that there are no more."""


@dataclass(frozen=True, slots=True)
class Image:
    """A whole stream."""

    version: int
    records: tuple[Record, ...]
    size: int
    """Bytes that it took; what follows them is not of it."""
