"""Records become bytes.

A record's length counts its padding, as C xenstored counts it: it reads as much and expects the
next record right behind. A reader that pads by itself finds the same places.
Source: docs/designs/xenstore-migration.md of Xen.
"""

import struct
from collections.abc import Iterable
from typing import Final

from xenstore_sim.migration.records import (
    DOMID_INVALID,
    VERSIONS,
    ConnectionData,
    DomainData,
    GlobalData,
    GlobalQuotaData,
    NodeData,
    PermEntry,
    Record,
    RecordType,
    RingEnd,
    TransactionData,
    WatchData,
)
from xenstore_sim.wire.strings import ENCODING

IDENT: Final = b"xenstore"
BIG_ENDIAN: Final = 1
"""The one flag of the header."""
ALIGNMENT: Final = 8
RING, SOCKET = 0, 1
"""`conn-type`."""
HAS_UNIQUE_ID: Final = 1
STALE: Final = 1


def encode_image(records: Iterable[Record], version: int, *, big_endian: bool = False) -> bytes:
    """The whole stream, with its header and END.

    version: of VERSIONS; with 1, no watch has a depth, and features are left out.
    """
    assert version in VERSIONS, f"version {version} of the format"
    order = ">" if big_endian else "<"
    # The header itself is big-endian in both.
    parts = [IDENT, struct.pack(">II", version, BIG_ENDIAN if big_endian else 0)]
    for record in records:
        type_, body = _body(record, version, order)
        body = _padded(body)
        parts += [struct.pack(order + "II", type_, len(body)), body]
    parts.append(struct.pack(order + "II", RecordType.END, 0))
    return b"".join(parts)


def _body(record: Record, version: int, order: str) -> tuple[RecordType, bytes]:
    match record:
        # First, as most of them are.
        case NodeData():
            return RecordType.NODE_DATA, _node(record, order)
        case GlobalData():
            fds = struct.pack(order + "ii", record.socket_fd, record.evtchn_fd)
            return RecordType.GLOBAL_DATA, fds
        case ConnectionData():
            return RecordType.CONNECTION_DATA, _connection(record, order)
        case WatchData():
            return _watch(record, version, order)
        case TransactionData():
            ids = struct.pack(order + "II", record.conn_id, record.tx_id)
            return RecordType.TRANSACTION_DATA, ids
        case GlobalQuotaData():
            counts = struct.pack(order + "HH", len(record.of_domains), len(record.of_all))
            return (
                RecordType.GLOBAL_QUOTA_DATA,
                counts + _quotas(record.of_domains + record.of_all, order),
            )
        case DomainData():
            features = record.features if version > 1 else 0
            head = struct.pack(order + "HHI", record.domid, len(record.quotas), features)
            return RecordType.DOMAIN_DATA, head + _quotas(record.quotas, order)


def _connection(record: ConnectionData, order: str) -> bytes:
    unique = record.unique_id is not None
    match record.end:
        case RingEnd(domid, target, evtchn):
            kind = RING
            spec = struct.pack(
                order + "HHI", domid, DOMID_INVALID if target is None else target, evtchn
            )
        case end:
            kind, spec = SOCKET, struct.pack(order + "i4x", end.fd)
    head = struct.pack(order + "IHH", record.conn_id, kind, HAS_UNIQUE_ID if unique else 0)
    sizes = struct.pack(order + "HHI", len(record.received), record.torn, len(record.unsent))
    body = head + spec + sizes + record.received + record.unsent
    if unique:
        body = _padded(body) + struct.pack(order + "Q", record.unique_id)
    return body


def _watch(record: WatchData, version: int, order: str) -> tuple[RecordType, bytes]:
    path, token = _terminated(record.path), record.token + b"\0"
    head = struct.pack(order + "IHH", record.conn_id, len(path), len(token))
    if record.depth is None:
        return RecordType.WATCH_DATA, head + path + token
    assert version > 1, "version 1 has no depths of watches"
    depth = struct.pack(order + "H2x", record.depth)
    return RecordType.WATCH_DATA_EXTENDED, head + depth + path + token


def _node(record: NodeData, order: str) -> bytes:
    path = _terminated(record.path)
    head = struct.pack(
        order + "IIHHHH",
        *(record.conn_id, record.tx_id),
        *(len(path), len(record.value), record.access, len(record.perms)),
    )
    return b"".join((head, *(_perm(entry, order) for entry in record.perms), path, record.value))


def _perm(entry: PermEntry, order: str) -> bytes:
    flags = STALE if entry.stale else 0
    return struct.pack(order + "BBH", ord(entry.access), flags, entry.domid)


def _quotas(quotas: tuple[tuple[str, int], ...], order: str) -> bytes:
    values = struct.pack(f"{order}{len(quotas)}I", *(value for _, value in quotas))
    return values + b"".join(_terminated(name) for name, _ in quotas)


def _terminated(text: str) -> bytes:
    return text.encode(ENCODING) + b"\0"


def _padded(body: bytes) -> bytes:
    return body + bytes(-len(body) % ALIGNMENT)
