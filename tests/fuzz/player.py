"""Plays a program on a daemon's core and looks after each step whether all is well."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from tests.fuzz.program import DOMAINS, Kind, Program, Step
from tests.fuzz.soundness import PORTION_MAX, over_quota, unsound
from xenstore_sim.store.commands import Close, Command, Ignore, Reset
from xenstore_sim.store.daemon import Daemon, Settings
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.compat import Compat
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.errors import ProtocolViolation
from xenstore_sim.wire.layout import Packet, encode_packet
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.payloads import decode_event

NEIGHBOUR: Final = DomId(9)
"""A domain that does nothing wrong."""
PEERS_MAX: Final = 6
UNREAD_MAX: Final = 64 * 1024
"""Bytes that a peer can have on the way: what a socket holds."""
QUOTAS: Final = Quotas(
    nodes=12,
    watches=4,
    outstanding=5,
    transactions=3,
    transaction_nodes=9,
    node_permissions=3,
    path_max=200,
    node_size=400,
    memory=20_000,
    soft_memory=3_000,
)
"""Small ones, so that programs of a few steps meet them."""


class Failure(AssertionError):
    """The daemon did what it must not."""


@dataclass
class Peer:
    """A connection whose client does what it likes."""

    conn: ConnId
    domid: int
    on_the_way: bytes = b""
    """Sent, and not read by the daemon."""
    sent: Decoder = field(default_factory=Decoder)
    heard: Decoder = field(default_factory=Decoder)
    unanswered: deque[Packet] = field(default_factory=deque)
    closed: bool = False
    reset: bool = False
    """It lost output in the middle: what it hears need not make sense any more."""


class Player:
    """A daemon, its hostile peers, and two clients that mean well."""

    def __init__(self, compat: Compat, *, trusted: bool) -> None:
        """trusted: peers may be dom0, and so take anything away from anybody."""
        self.compat = compat
        self.trusted = trusted
        self.daemon = Daemon(Settings(compat, QUOTAS))
        self.peers: list[Peer] = []
        self.requests = 0
        """That peers sent, complete ones."""
        self._closes = 0
        self._now = 0.0
        dom0 = self.daemon.connect()
        assert dom0 is not None
        self.dom0 = dom0
        for domid in (*DOMAINS, NEIGHBOUR):
            home = b"/local/domain/%d" % domid
            self._expect(dom0, Op.INTRODUCE, b"%d\x001\x001\0" % domid, b"OK\0")
            self._expect(dom0, Op.MKDIR, home + b"\0", b"OK\0")
            self._expect(dom0, Op.SET_PERMS, home + b"\0n%d\0" % domid, b"OK\0")
        self._expect(dom0, Op.SET_TARGET, b"2\x001\0", b"OK\0")
        neighbour = self.daemon.connect(NEIGHBOUR)
        assert neighbour is not None
        self._neighbour = neighbour

    def play(self, steps: tuple[Step, ...]) -> None:
        """Raises: Failure; or whatever the daemon raises, which must be nothing."""
        for step in steps:
            self._step(step)
            self._look()

    def _step(self, step: Step) -> None:
        match step.kind:
            case Kind.CONNECT | Kind.CONNECT_RING:
                self._connect(step.number, ring=step.kind is Kind.CONNECT_RING)
            case Kind.DESTROY:
                self._carry_out(self.daemon.domain_destroyed(DomId(step.number)))
            case Kind.SHUT_DOWN:
                self._carry_out(self.daemon.domain_shut_down(DomId(step.number)))
            case Kind.TICK:
                self._now += step.number
                self._carry_out(self.daemon.tick(self._now))
            case _ if not self.peers:
                pass
            case kind:
                peer = self.peers[step.number % len(self.peers)]
                match kind:
                    case Kind.FEED:
                        peer.on_the_way = (peer.on_the_way + step.data)[:UNREAD_MAX]
                    case Kind.DRAIN:
                        self._drain(peer, len(step.data))
                    case Kind.BLOCKED:
                        self.daemon.blocked(peer.conn)
                    case Kind.DISCONNECT:
                        self._carry_out(self.daemon.disconnect(peer.conn))
                        peer.closed = True
        self._read_all()
        self.peers = [peer for peer in self.peers if not peer.closed]

    def _connect(self, domid: int, *, ring: bool) -> None:
        if len(self.peers) < PEERS_MAX:
            conn = self.daemon.connect(DomId(domid) if domid else None, ring=ring and bool(domid))
            if conn is not None:
                self.peers.append(Peer(conn, domid))

    def _read(self, peer: Peer) -> None:
        """As a shell does: in portions, and only while the daemon wants them."""
        while peer.on_the_way and self.daemon.wants_input(peer.conn):
            portion = peer.on_the_way[:PORTION_MAX]
            peer.on_the_way = peer.on_the_way[PORTION_MAX:]
            self._count(peer, portion)
            reply = self.daemon.reply_at_once(peer.conn, portion)
            if reply is None:
                self._carry_out(self.daemon.feed(peer.conn, portion))
            else:
                self._carry_out(self.daemon.commands())
                self._reply(peer, reply)

    def _reply(self, peer: Peer, reply: bytes) -> None:
        """Some clients take all of it, others a part, or nothing."""
        taken = reply[: (len(reply), 0, 5)[peer.conn % 3]]
        peer.heard.feed(taken)
        if len(taken) < len(reply):
            self.daemon.keep(peer.conn, reply, len(taken))
        else:
            self._hear_all(peer)

    def _count(self, peer: Peer, portion: bytes) -> None:
        peer.sent.feed(portion)
        try:
            while (packet := peer.sent.next_packet()) is not None:
                peer.unanswered.append(packet)
                self.requests += 1
        except ProtocolViolation:
            # The daemon reads no further either.
            pass

    def _read_all(self) -> None:
        """One that took its replies can make room for others."""
        for peer in tuple(self.peers):
            self._read(peer)

    def _drain(self, peer: Peer, size: int) -> None:
        while size and (output := self.daemon.output(peer.conn)):
            taken = output[:size]
            size -= len(taken)
            peer.heard.feed(taken)
            self._carry_out(self.daemon.sent(peer.conn, len(taken)))
            self._hear_all(peer)

    def _hear_all(self, peer: Peer) -> None:
        if not peer.reset:
            while (packet := peer.heard.next_packet()) is not None:
                self._hear(peer, packet)

    def _hear(self, peer: Peer, packet: Packet) -> None:
        if packet.type == Op.WATCH_EVENT:
            decode_event(packet.payload)
            if packet.req_id or packet.tx_id:
                raise Failure(f"an event with ids: {packet}")
            return
        if not peer.unanswered:
            raise Failure(f"an answer to nothing: {packet}")
        request = peer.unanswered.popleft()
        if (packet.req_id, packet.tx_id) != (request.req_id, request.tx_id):
            raise Failure(f"{packet} answers {request}")
        if request.type not in self.compat.ops:
            if packet[0] != Op.ERROR or packet.payload != b"ENOSYS\0":
                raise Failure(f"{packet} answers the unknown {request}")
        elif packet.type == Op.ERROR:
            Errno(packet.payload[:-1].decode("ascii"))
        elif packet.type != request.type:
            raise Failure(f"{packet} answers {request}")

    def _carry_out(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            match command:
                case Close(conn):
                    self._closes += 1
                    for peer in self.peers:
                        peer.closed = peer.closed or peer.conn == conn
                case Ignore(conn) | Reset(conn):
                    self._closes += isinstance(command, Ignore)
                    for peer in self.peers:
                        peer.reset = peer.reset or peer.conn == conn

    # -- what must hold after each step

    def _look(self) -> None:
        if self.trusted:
            # INTRODUCE can make any domain begin anew, and no command tells of streams.
            for peer in self.peers:
                peer.reset = peer.reset or peer.domid != 0
        wrong = unsound(self.daemon)
        if not self.trusted:
            wrong += over_quota(self.daemon)
            counted = self.daemon.statistics()
            if counted.violations + counted.slow_clients != self._closes:
                wrong += (f"{self._closes} connections ended, counted {counted}",)
        if wrong:
            raise Failure("; ".join(wrong))
        self._ask_witnesses()

    def _ask_witnesses(self) -> None:
        """Those who mean well are served as if they were alone."""
        value = b"%d" % self.requests
        self._dialogue(
            self.dom0,
            (Op.WRITE, 0, b"/witness\0" + value, b"OK\0"),
            (Op.READ, 0, b"/witness\0", value),
            (Op.CONTROL, 0, b"check\0", b"OK\0"),
        )
        if not self.trusted:
            self._dialogue(
                self._neighbour,
                (Op.WRITE, 0, b"x\0" + value, b"OK\0"),
                (Op.READ, 0, b"/local/domain/9/x\0", value),
                (Op.DIRECTORY, 0, b"/local/domain/9\0", b"x\0"),
                (Op.GET_PERMS, 0, b"x\0", b"n9\0"),
            )

    def _expect(self, conn: ConnId, op: Op, payload: bytes, reply: bytes) -> None:
        self._dialogue(conn, (op, 0, payload, reply))

    def _dialogue(self, conn: ConnId, *turns: tuple[Op, int, bytes, bytes]) -> None:
        asked = b"".join(encode_packet(op, 7, tx, payload) for op, tx, payload, _ in turns)
        expected = b"".join(encode_packet(op, 7, tx, reply) for op, tx, _, reply in turns)
        self._carry_out(self.daemon.feed(conn, asked))
        heard = self.daemon.output(conn)
        self._carry_out(self.daemon.sent(conn, len(heard)))
        if heard != expected:
            raise Failure(f"a client that means well heard {heard!r} instead of {expected!r}")


def play(program: Program) -> Player:
    """A whole program on a fresh daemon. Raises: Failure, or anything from the daemon."""
    player = Player(program.compat, trusted=program.trusted)
    player.play(program.steps)
    return player
