"""Bytes become records; whatever is not of the format is refused with its place.

Source: docs/designs/xenstore-migration.md of Xen.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from xenstore_sim.migration.encoder import (
    ALIGNMENT,
    BIG_ENDIAN,
    HAS_UNIQUE_ID,
    IDENT,
    RING,
    SOCKET,
    STALE,
)
from xenstore_sim.migration.errors import StateError
from xenstore_sim.migration.records import (
    DOMID_INVALID,
    VERSIONS,
    ConnectionData,
    DomainData,
    GlobalData,
    GlobalQuotaData,
    Image,
    NodeAccess,
    NodeData,
    PermEntry,
    Record,
    RecordType,
    RingEnd,
    SocketEnd,
    TransactionData,
    WatchData,
)
from xenstore_sim.wire.names import DomId, Token, TxId
from xenstore_sim.wire.perms import Access
from xenstore_sim.wire.strings import ENCODING

_HEADER_SIZE: Final = 16
_UNLIMITED: Final = 0xFFFF
"""A depth that stands for none."""
_ACCESSES: Final = {ord(access.value): access for access in Access}
_NODE_ACCESSES: Final = {
    int(access): access
    for access in (
        NodeAccess.NONE,
        NodeAccess.READ,
        NodeAccess.WRITTEN,
        NodeAccess.READ | NodeAccess.WRITTEN,
    )
}
_PermLists = dict[bytes, tuple[PermEntry, ...]]
_T = TypeVar("_T")


def decode_image(data: bytes) -> Image:
    """The stream that `data` begins with. Raises: StateError."""
    order, version = _header(data)
    records: list[Record] = []
    lists: _PermLists = {}
    at = _HEADER_SIZE
    while True:
        number = len(records) + 1
        if len(data) < at + 8:
            raise StateError(
                f"record {number} at byte {at:#x}",
                f"the stream ends there, after {len(data)} bytes",
            )
        type_, length = struct.unpack_from(order + "II", data, at)
        start = at + 8
        end = start + length
        place = _Place(number, type_, at)
        if end > len(data):
            raise StateError(
                str(place), f"it has {length} bytes, and {len(data) - start} are there"
            )
        at = min(end + -length % ALIGNMENT, len(data))
        if type_ == RecordType.END:
            if length:
                raise StateError(str(place), f"END has {length} bytes instead of none")
            return Image(version, tuple(records), at)
        read = _READERS.get(type_)
        if read is None or (type_ == RecordType.WATCH_DATA_EXTENDED and version == 1):
            raise StateError(str(place), f"version {version} of the format has no such record")
        body = _Body(data[start:end], order, place, version, lists)
        records.append(read(body))
        body.end()


def _header(data: bytes) -> tuple[str, int]:
    where = "the header"
    if len(data) < _HEADER_SIZE or not data.startswith(IDENT):
        raise StateError(where, "it is not that of a xenstore migration stream")
    version, flags = struct.unpack_from(">II", data, len(IDENT))
    if version not in VERSIONS:
        raise StateError(where, f"version {version} of the format; known are 1 and 2")
    if flags & ~BIG_ENDIAN:
        raise StateError(where, f"unknown flags {flags:#x}")
    return ">" if flags else "<", version


class _Place(NamedTuple):
    """Which record, for what is wrong with it."""

    number: int
    type: int
    at: int

    def __str__(self) -> str:
        known = self.type in set(RecordType)
        name = RecordType(self.type).name if known else f"of type {self.type:#x}"
        return f"record {self.number} ({name}) at byte {self.at:#x}"


class _Body:
    """What is in one record, read from its beginning to its end."""

    def __init__(
        self, data: bytes, order: str, place: _Place, version: int, lists: _PermLists
    ) -> None:
        """lists: of permissions that were read before; most nodes have one of few."""
        self._data = data
        self._order = order
        self._place = place
        self.version = version
        self._lists = lists
        self._at = 0

    def numbers(self, form: str) -> tuple[int, ...]:
        """Fields of `struct`."""
        form = self._order + form
        values: tuple[int, ...] = struct.unpack(
            form, self.take(struct.calcsize(form), "its fields")
        )
        return values

    def take(self, size: int, what: str) -> bytes:
        """The next bytes."""
        if size > len(self._data) - self._at:
            raise self.wrong(
                f"{what} would end at its byte {self._at + size:#x}, it has {len(self._data):#x}"
            )
        self._at += size
        return self._data[self._at - size : self._at]

    def align(self) -> None:
        """Go on at the next multiple of eight."""
        self.take(-self._at % ALIGNMENT, "padding")

    def text(self, size: int, what: str) -> str:
        """A string of `size` bytes with its NUL."""
        return self.terminated(size, what).decode(ENCODING)

    def terminated(self, size: int, what: str) -> bytes:
        """The same as bytes."""
        data = self.take(size, what)
        if data.find(b"\0") != size - 1:
            raise self.wrong(
                f"{what} of {size} bytes does not end with its only NUL: {data[:40]!r}"
            )
        return data[:-1]

    def perms(self, count: int) -> tuple[PermEntry, ...]:
        """A list of permissions."""
        raw = self.take(4 * count, "its permissions")
        perms = self._lists.get(raw)
        if perms is None:
            entries = struct.iter_unpack(self._order + "BBH", raw)
            perms = self._lists[raw] = tuple(self._perm(*entry) for entry in entries)
        return perms

    def _perm(self, letter: int, flags: int, domid: int) -> PermEntry:
        access = self.known(_ACCESSES, letter, "the letter of a permission")
        if flags & ~STALE:
            raise self.wrong(f"unknown flags {flags:#x} of a permission")
        return PermEntry(access, DomId(domid), bool(flags))

    def quotas(self, count: int) -> tuple[tuple[str, int], ...]:
        """Values and then names. Source: GLOBAL_QUOTA_DATA, DOMAIN_DATA."""
        values = self.numbers(f"{count}I")
        names = []
        for _ in values:
            size = self._data.find(b"\0", self._at) + 1 - self._at
            names.append(self.text(max(size, 1), "the name of a quota"))
        return tuple(zip(names, values, strict=True))

    def known(self, table: dict[int, _T], value: int, what: str) -> _T:
        """What a number stands for."""
        if value not in table:
            raise self.wrong(f"{what} is {value:#x}, which means nothing")
        return table[value]

    def end(self) -> None:
        """Nothing but padding may follow."""
        if (rest := len(self._data) - self._at) >= ALIGNMENT:
            raise self.wrong(f"{rest} bytes follow its last field")

    def wrong(self, reason: str) -> StateError:
        """To be raised."""
        return StateError(str(self._place), reason)


def _global(body: _Body) -> GlobalData:
    return GlobalData(*body.numbers("ii"))


def _connection(body: _Body) -> ConnectionData:
    conn_id, kind, fields = body.numbers("IHH")
    if not conn_id:
        raise body.wrong("conn-id is 0")
    if fields & ~HAS_UNIQUE_ID:
        raise body.wrong(f"unknown fields {fields:#x}")
    end = body.known({RING: _ring_end, SOCKET: _socket_end}, kind, "conn-type")(body)
    received, torn, unsent = body.numbers("HHI")
    if torn > unsent:
        raise body.wrong(f"out-resp-len {torn} is more than out-data-len {unsent}")
    in_data = body.take(received, "data that was read")
    out_data = body.take(unsent, "data to be written")
    unique_id = None
    if fields & HAS_UNIQUE_ID:
        body.align()
        (unique_id,) = body.numbers("Q")
    return ConnectionData(conn_id, end, in_data, out_data, torn, unique_id)


def _ring_end(body: _Body) -> RingEnd | SocketEnd:
    domid, target, evtchn = body.numbers("HHI")
    return RingEnd(DomId(domid), None if target == DOMID_INVALID else DomId(target), evtchn)


def _socket_end(body: _Body) -> RingEnd | SocketEnd:
    (fd,) = body.numbers("i4x")
    return SocketEnd(fd)


def _watch(body: _Body) -> WatchData:
    conn_id, path_size, token_size = body.numbers("IHH")
    return _watch_strings(body, conn_id, path_size, token_size, None)


def _watch_extended(body: _Body) -> WatchData:
    conn_id, path_size, token_size, depth = body.numbers("IHHH2x")
    depth_or_none = None if depth == _UNLIMITED else depth
    return _watch_strings(body, conn_id, path_size, token_size, depth_or_none)


def _watch_strings(
    body: _Body, conn_id: int, path_size: int, token_size: int, depth: int | None
) -> WatchData:
    path = body.text(path_size, "wpath")
    return WatchData(conn_id, path, Token(body.terminated(token_size, "token")), depth)


def _transaction(body: _Body) -> TransactionData:
    conn_id, tx_id = body.numbers("II")
    return TransactionData(conn_id, TxId(tx_id))


def _node(body: _Body) -> NodeData:
    conn_id, tx_id, path_size, value_size, access, count = body.numbers("IIHHHH")
    accessed = _NODE_ACCESSES.get(access)
    if accessed is None:
        raise body.wrong(f"unknown bits in access {access:#x}")
    perms = body.perms(count)
    if not perms and not conn_id:
        raise body.wrong("a node of the store has no permission entry")
    path = body.text(path_size, "path")
    value = body.take(value_size, "value")
    return NodeData(path, value, perms, conn_id, TxId(tx_id), accessed)


def _global_quota(body: _Body) -> GlobalQuotaData:
    of_domains, of_all = body.numbers("HH")
    quotas = body.quotas(of_domains + of_all)
    return GlobalQuotaData(quotas[:of_domains], quotas[of_domains:])


def _domain(body: _Body) -> DomainData:
    domid, count, features = body.numbers("HHI")
    # Not valid in version 1.
    return DomainData(DomId(domid), features if body.version > 1 else 0, body.quotas(count))


_READERS: Final[dict[int, Callable[[_Body], Record]]] = {
    RecordType.GLOBAL_DATA: _global,
    RecordType.CONNECTION_DATA: _connection,
    RecordType.WATCH_DATA: _watch,
    RecordType.WATCH_DATA_EXTENDED: _watch_extended,
    RecordType.TRANSACTION_DATA: _transaction,
    RecordType.NODE_DATA: _node,
    RecordType.GLOBAL_QUOTA_DATA: _global_quota,
    RecordType.DOMAIN_DATA: _domain,
}
