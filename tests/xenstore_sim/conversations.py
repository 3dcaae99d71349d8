"""Conversations with a daemon's core as tables: who says what, and what exactly it hears.

A row is a `Says` or a `Hears`. Bytes are compared, not messages; whoever was told something must
have a row for it, or the conversation fails at its end.
"""

from dataclasses import dataclass, field

from xenstore_sim.store.commands import Close, Command, Send
from xenstore_sim.store.daemon import Daemon, Settings
from xenstore_sim.store.domains import DomainExists, every_domain_exists
from xenstore_sim.store.log import LogFile
from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.messages import (
    ErrorReply,
    Introduce,
    Ok,
    Reply,
    Request,
    Text,
    TransactionStart,
    WatchEvent,
)
from xenstore_sim.wire.names import DomId, Token
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.payloads import encode_event, encode_reply, encode_request

NO_TX = 0
REQ_ID = 0x01020304
T1, T2 = 1, 2
"""The ids that a connection's first transactions get."""


@dataclass(frozen=True)
class Raw:
    """A request as bytes, for those that no message class would make."""

    type: int
    payload: bytes


@dataclass(frozen=True)
class Peer:
    """A connection of the conversation."""

    name: str
    conn: ConnId


@dataclass(frozen=True)
class Says:
    """Who sends a request in which transaction, and all it hears by that, in order."""

    who: Peer
    tx: int
    request: Request | Raw
    hears: tuple[Reply | WatchEvent, ...]


@dataclass(frozen=True)
class Hears:
    """What one was told since its last row."""

    who: Peer
    hears: tuple[WatchEvent, ...]


def says(who: Peer, tx: int, request: Request | Raw, *hears: Reply | WatchEvent | Errno) -> Says:
    """A row; an errno stands for the ERROR that names it, nothing for OK."""
    heard = tuple(ErrorReply(each) if isinstance(each, Errno) else each for each in hears)
    return Says(who, tx, request, heard or (Ok(),))


def hears(who: Peer, *events: WatchEvent) -> Hears:
    """A row."""
    return Hears(who, events)


def event(path: str, token: bytes = b"t") -> WatchEvent:
    """An event."""
    return WatchEvent(path, Token(token))


@dataclass
class Stage:
    """A daemon's core, its connections, and what it told its shell."""

    settings: Settings = field(default_factory=Settings)
    exists: DomainExists = every_domain_exists
    log: LogFile | None = None

    def __post_init__(self) -> None:
        self.daemon = Daemon(self.settings, self.exists, self.log)
        self.commands: list[Command] = []
        self.dom0 = self.connect()

    def connect(self, domid: int | None = None) -> Peer:
        """A new connection, of dom0 or of a domain that is introduced."""
        conn = self.daemon.connect(None if domid is None else DomId(domid))
        assert conn is not None, f"connection of domain {domid} refused"
        return Peer(f"dom{domid or 0}", conn)

    def domain(self, domid: int) -> Peer:
        """The connection of a domain, which is introduced now."""
        self.converse(says(self.dom0, NO_TX, Introduce(DomId(domid), 1, 1)))
        return self.connect(domid)

    def send(self, who: Peer, tx: int, request: Request | Raw) -> bytes:
        """All bytes that `who` hears by this request."""
        if isinstance(request, Raw):
            type_, payload = request.type, request.payload
        else:
            type_, payload = int(request.op), encode_request(request)
        self.commands += self.daemon.feed(who.conn, encode_packet(type_, REQ_ID, tx, payload))
        return self.take(who)

    def take(self, who: Peer) -> bytes:
        """All bytes that wait for `who`."""
        output = b""
        while waiting := self.daemon.output(who.conn):
            output += waiting
            self.commands += self.daemon.sent(who.conn, len(waiting))
        return output

    def ask(self, who: Peer, tx: int, request: Request | Raw) -> bytes:
        """The payload of the reply, which must be the only thing `who` hears."""
        decoder = Decoder()
        decoder.feed(self.send(who, tx, request))
        packet = decoder.next_packet()
        assert packet is not None
        assert decoder.next_packet() is None
        return packet.payload

    def converse(self, *rows: Says | Hears) -> None:
        """Play the rows; fails at the first that differs, and when someone heard more."""
        for number, row in enumerate(rows, 1):
            match row:
                case Says(who, tx, request, heard):
                    type_ = request.type if isinstance(request, Raw) else int(request.op)
                    found = self.send(who, tx, request)
                    expected = b"".join(_bytes(each, type_, tx) for each in heard)
                case Hears(who, heard):
                    found = self.take(who)
                    expected = b"".join(_bytes(each, 0, 0) for each in heard)
            assert readable(found) == readable(expected), f"row {number}: {row}"
            assert found == expected, f"row {number}: {row}"
        for conn in {command.conn for command in self.commands if isinstance(command, Send)}:
            rest = self.daemon.output(conn)
            assert not rest, f"connection {conn} heard {readable(rest)} that no row tells of"

    @property
    def closed(self) -> list[ConnId]:
        """Connections that the daemon ended."""
        return [command.conn for command in self.commands if isinstance(command, Close)]


def readable(data: bytes) -> list[str]:
    """The messages in these bytes, a line each."""
    decoder = Decoder()
    decoder.feed(data)
    lines = []
    while (packet := decoder.next_packet()) is not None:
        name = Op(packet.type).name if packet.type in Op.__members__.values() else str(packet.type)
        lines.append(f"{name} req={packet.req_id:#x} tx={packet.tx_id} {packet.payload!r}")
    return lines


def started(who: Peer, tx: int = T1) -> Says:
    """The row that starts a transaction, which gets this id."""
    return says(who, NO_TX, TransactionStart(), Text(str(tx)))


def _bytes(message: Reply | WatchEvent, type_: int, tx: int) -> bytes:
    match message:
        case WatchEvent():
            return encode_packet(Op.WATCH_EVENT, 0, 0, encode_event(message))
        case ErrorReply():
            return encode_packet(Op.ERROR, REQ_ID, tx, encode_reply(message))
    return encode_packet(type_, REQ_ID, tx, encode_reply(message))
