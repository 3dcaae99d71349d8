"""A xenstore connection as its client sees it, without I/O: ids, answers, routes of events.

It works on payloads, not on the classes of `wire.messages`: a device model imports this package at
its start, and making those classes takes longer than all the rest of it.
"""

from dataclasses import dataclass
from typing import Final

from xenstore_sim.client.events import Event, EventBuffer
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.errors import ProtocolViolation
from xenstore_sim.wire.layout import PAYLOAD_MAX, Packet, encode_packet
from xenstore_sim.wire.names import NO_TX, ReqId, Token, TxId
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.strings import strings

_IDS: Final = 2**32


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply to a request that somebody still waits for."""

    req_id: ReqId
    payload: bytes
    errno: Errno | None
    """None: done, and the payload is the answer."""


@dataclass(frozen=True, slots=True)
class _Sent:
    op: Op
    payload: bytes
    abandoned: bool = False


class ClientProtocol:
    """Requests in, bytes out; bytes in, answers out. Replies may come in any order."""

    __slots__ = ("_buffers", "_decoder", "_next_id", "_outgoing", "_sent", "round_trips")

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._outgoing = bytearray()
        self._sent: dict[ReqId, _Sent] = {}
        self._buffers: dict[Token, list[EventBuffer]] = {}
        self._next_id = 1
        self.round_trips = 0
        """Requests made so far, all of them."""

    # -- out

    def request(self, op: Op, payload: bytes, tx_id: TxId = NO_TX) -> ReqId:
        """Queue a request; its answer will carry the id returned.

        payload: at most PAYLOAD_MAX bytes. Raises: ProtocolViolation, nothing was queued.
        """
        if len(payload) > PAYLOAD_MAX:
            raise ProtocolViolation(
                f"{op.name} with a payload of {len(payload)} bytes, path included:"
                f" a xenstore message holds {PAYLOAD_MAX}"
            )
        while self._next_id in self._sent:
            self._next_id = (self._next_id + 1) % _IDS
        req_id = ReqId(self._next_id)
        self._next_id = (self._next_id + 1) % _IDS
        self._sent[req_id] = _Sent(op, payload)
        self._outgoing += encode_packet(op, req_id, tx_id, payload)
        self.round_trips += 1
        return req_id

    def abandon(self, req_id: ReqId) -> None:
        """Nobody waits for this answer any more; what it sets up is undone when it comes.

        It may or may not have been done: its bytes are sent whole in any case.
        """
        sent = self._sent.get(req_id)
        if sent is not None:
            self._sent[req_id] = _Sent(sent.op, sent.payload, abandoned=True)

    def request_and_abandon(self, op: Op, payload: bytes, tx_id: TxId = NO_TX) -> None:
        """Queue a request whose answer does not matter."""
        self.abandon(self.request(op, payload, tx_id))

    @property
    def in_flight(self) -> int:
        """Requests made and not yet answered."""
        return len(self._sent)

    @property
    def outgoing(self) -> bytearray:
        """Bytes for the peer; take them off with `was_sent`."""
        return self._outgoing

    def was_sent(self, size: int) -> None:
        """The first `size` bytes of `outgoing` are on their way."""
        del self._outgoing[:size]

    def undo(self, op: Op, payload: bytes, answer: bytes) -> None:
        """Take back what a request that nobody waited for left in the daemon's quotas.

        payload: of the request. answer: of the reply, which said yes.
        """
        if op == Op.TRANSACTION_START:
            self.request_and_abandon(Op.TRANSACTION_END, b"F\0", transaction_id(answer))
        elif op == Op.WATCH:
            self.request_and_abandon(Op.UNWATCH, payload)

    # -- in

    def receive(self, data: bytes) -> tuple[Answer, ...]:
        """The answers that this data completes; events go to their buffers.

        Raises: ProtocolViolation, after which the connection is of no use.
        """
        self._decoder.feed(data)
        answers = []
        while (packet := self._decoder.next_packet()) is not None:
            if packet.type == Op.WATCH_EVENT:
                self._route(packet.payload)
            elif (answer := self._answer(packet)) is not None:
                answers.append(answer)
        return tuple(answers)

    def add_buffer(self, buffer: EventBuffer) -> None:
        """Route events to this buffer from now on."""
        self._buffers.setdefault(buffer.token, []).append(buffer)

    def remove_buffer(self, buffer: EventBuffer) -> None:
        """Route no more events to it; those still on their way are dropped."""
        others = [other for other in self._buffers[buffer.token] if other is not buffer]
        if others:
            self._buffers[buffer.token] = others
        else:
            del self._buffers[buffer.token]

    def _route(self, payload: bytes) -> None:
        path, nul, rest = payload.partition(b"\0")
        if not nul or not rest.endswith(b"\0"):
            raise ProtocolViolation(f"a watch event holds {payload[:32]!r}, no path and token")
        event = Event(path.decode("latin-1"), Token(rest[:-1].partition(b"\0")[0]))
        for buffer in self._buffers.get(event.token, ()):
            if buffer.covers(event.path):
                buffer.put(event)

    def _answer(self, packet: Packet) -> Answer | None:
        sent = self._sent.pop(packet.req_id, None)
        if sent is None:
            raise ProtocolViolation(
                f"a reply of type {packet.type} to request {packet.req_id:#x}, which was not made"
            )
        if packet.type == Op.ERROR:
            if sent.abandoned:
                return None
            return Answer(packet.req_id, b"", _errno(packet.payload))
        if packet.type != sent.op:
            raise ProtocolViolation(
                f"a reply of type {packet.type} to request {packet.req_id:#x} of type {sent.op}"
            )
        if sent.abandoned:
            self.undo(sent.op, sent.payload, packet.payload)
            return None
        return Answer(packet.req_id, packet.payload, None)


def transaction_id(payload: bytes) -> TxId:
    """The id in an answer to TRANSACTION_START. Raises: ProtocolViolation."""
    text = payload.rstrip(b"\0")
    if not text.isdigit() or not 0 < int(text) < _IDS:
        raise ProtocolViolation(f"TRANSACTION_START was answered with {payload[:32]!r}, no id")
    return TxId(int(text))


def _errno(payload: bytes) -> Errno:
    name = (strings(payload) or [""])[0]
    # As libxenstore takes names it does not know; oxenstored has one of its own.
    return Errno(name) if name in Errno.__members__ else Errno.EINVAL
