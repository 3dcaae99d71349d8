"""One conversation on both daemons, and all that is told compared."""

import struct
from collections.abc import Iterable, Sequence

from tests.differential.conversations import PROLOGUE, Bounds
from tests.differential.known_differences import Generations, is_known
from tests.differential.our_side import OurSide
from tests.differential.real_side import RealSide
from tests.differential.side import Side
from tests.differential.steps import (
    DOMIDS,
    FIRST,
    SOCKETS,
    Create,
    Destroy,
    Introduce,
    Oversize,
    Reconnect,
    Request,
    Say,
    ShutDown,
    Step,
    Who,
)
from tests.oracle.guest_ring import RING_SIZE
from tests.oracle.raw_client import BARRIER, ERROR, Message
from tests.oracle.real_xenstored import RealXenstored
from xenstore_sim.wire.c_numbers import atoi
from xenstore_sim.wire.ops import Op

_HEADER = struct.Struct("<4I")
_OVERSIZE = _HEADER.pack(Op.READ, 1, 0, 4097)
_STILL_OPEN = (b"EINVAL\0", b"ENOENT\0")
"""Errors of TRANSACTION_END after which the transaction is what it was."""
_MAY_END_RINGS = {Op.INTRODUCE, Op.RELEASE, Op.SET_TARGET}

Heard = dict[Who, tuple[Message, ...] | None]


class Comparison:
    """Both daemons, fresh; `play` steps on both."""

    def __init__(self, real: RealXenstored, bounds: Bounds) -> None:
        self._real = RealSide(real)
        self._ours = OurSide(bounds.quotas)
        self._sides: tuple[Side, Side] = (self._real, self._ours)
        self._transactions: dict[Who, list[int]] = {}
        """Open ones, oldest first."""
        self._alive: set[int] = set()
        self._shut_down: set[int] = set()
        self._asked: dict[int, Request] = {}
        """The requests of this step, by their ids."""
        self._generations = Generations()
        self.over = False
        """Nothing more is to be compared in this conversation."""
        self.requests = 0
        for side in self._sides:
            for who in SOCKETS:
                side.connect(who)
        for step in PROLOGUE:
            self.play(step)

    def play(self, step: Step) -> None:
        """Do it on both. Raises: AssertionError where they differ."""
        if self.over:
            return
        match step:
            case Say(who, requests):
                self._ask(step, who, requests)
            case Introduce(who, domid):
                self._introduce(step, who, domid)
            case Oversize(who):
                self._end(step, who)
            case Reconnect(who):
                self._reconnect(who)
            case Create(domid):
                if domid not in self._alive | self._ours.introduced:
                    self._alive.add(domid)
                    for side in self._sides:
                        side.create(domid)
            case ShutDown(domid):
                # Of others the real one learns when it looks at all domains for another reason.
                if domid in self._alive & self._ours.introduced:
                    self._shut_down.add(domid)
                    for side in self._sides:
                        side.shut_down(domid)
                    self._compare(step)
            case Destroy(domid):
                self._alive.discard(domid)
                self._shut_down.discard(domid)
                for side in self._sides:
                    side.destroy(domid)
                self._compare(step)

    def compare_stores(self) -> None:
        """Every node of both: value, permissions and children."""
        ops = (Op.READ, Op.GET_PERMS, Op.DIRECTORY)
        walk = [b"/"]
        while walk and not self.over:
            path = walk.pop()
            step = Say(FIRST, tuple(Request(op, path + b"\0") for op in ops))
            listing = self._ask(step, FIRST, step.requests)[-1]
            if listing.type != ERROR:
                names = listing.payload.split(b"\0")[:-1]
                walk += (path.rstrip(b"/") + b"/" + name for name in reversed(names))

    # -- requests

    def _introduce(self, step: Step, who: Who, domid: int) -> None:
        if domid in self._ours.introduced - self._alive:
            # The real one crashes on INTRODUCE of a dead domain that is another's target.
            return
        if domid in self._shut_down - self._ours.introduced:
            # As with ShutDown.
            return
        # The real one postpones the events of RELEASE behind its reply where the connection of the
        # domain comes right after the client's own in its list. Here none does.
        self._real.connect(Who("between"))
        payload = f"{domid}\0001\0{self._real.port(domid)}\0".encode()
        self._ask(step, who, (Request(Op.INTRODUCE, payload),))

    def _ask(self, step: Step, who: Who, requests: Sequence[Request]) -> list[Message]:
        """The replies."""
        if not self._listens(who):
            return []
        packets = []
        self._asked = dict(enumerate(requests, self.requests + 1))
        for req_id, request in enumerate(requests, self.requests + 1):
            tx_id = self._tx_id(who, request.tx)
            header = _HEADER.pack(request.type, req_id, tx_id, len(request.payload))
            packets.append(header + request.payload)
        if who not in SOCKETS:
            # Written to a ring in pieces, how they meet the daemon would hang on chance.
            while len(packets) > 1 and sum(map(len, packets)) + len(BARRIER) > RING_SIZE:
                packets.pop()
        first = self.requests + 1
        self.requests += len(packets)
        self._say(who, packets)
        heard = self._compare(step)[who] or ()
        replies = [message for message in heard if message.req_id >= first]
        for request, reply in zip(requests, replies, strict=False):
            self._note(who, request, reply)
        return replies

    def _tx_id(self, who: Who, tx: int) -> int:
        open_ones = self._transactions.get(who, [])
        return open_ones[-tx] if 0 < tx <= len(open_ones) else tx

    def _note(self, who: Who, request: Request, reply: Message) -> None:
        open_ones = self._transactions.setdefault(who, [])
        match reply.type:
            case Op.TRANSACTION_START:
                open_ones.append(int(reply.payload[:-1]))
            case Op.RESUME:
                domid = atoi(request.payload[:-1].decode("latin-1"))
                self._shut_down.discard(domid)
                self._real.run(domid)
            case Op.RESET_WATCHES:
                open_ones.clear()
            case Op.TRANSACTION_END | Op.ERROR if request.type == Op.TRANSACTION_END:
                ended = reply.type != ERROR or reply.payload not in _STILL_OPEN
                if ended and reply.tx_id in open_ones:
                    open_ones.remove(reply.tx_id)
            case Op.INTRODUCE | Op.RELEASE:
                # A ring that begins anew has none.
                for each in tuple(self._transactions):
                    if each not in SOCKETS:
                        del self._transactions[each]

    # -- connections

    def _listens(self, who: Who) -> bool:
        return who in SOCKETS or who in self._ours.rings

    def _end(self, step: Step, who: Who) -> None:
        if not self._listens(who):
            return
        self._say(who, [_OVERSIZE])
        self._compare(step, [who])
        self._transactions.pop(who, None)
        if who in SOCKETS:
            self._reconnect(who)

    def _reconnect(self, who: Who) -> None:
        for side in self._sides:
            side.hang_up(who)
            side.connect(who)
        self._transactions.pop(who, None)

    def _say(self, who: Who, messages: Sequence[bytes]) -> None:
        for side in self._sides:
            side.say(who, messages)

    # -- what they are told

    def _compare(self, step: Step, more: Iterable[Who] = ()) -> Heard:
        """What everyone was told. more: whose connection ended by this step."""
        if _may_end_rings(step):
            # A ring that only one of them serves has to be found before the other is waited for.
            asked = [
                _HEADER.pack(Op.IS_DOMAIN_INTRODUCED, 0, 0, 2) + b"%d\0" % domid for domid in DOMIDS
            ]
            self._say(FIRST, asked)
            self._hear(step, [FIRST])
        return self._hear(step, {*SOCKETS, *self._ours.rings, *more})

    def _hear(self, step: Step, who: Iterable[Who]) -> Heard:
        asked = tuple(sorted(who))
        real, ours = self._real.hear(asked), self._ours.hear(asked)
        for each in asked:
            if not self._same(each, real[each], ours[each]):
                raise AssertionError(
                    f"{each} at: {step}\n real: {_lines(real[each])}\n ours: {_lines(ours[each])}"
                )
        return ours

    def _same(
        self, who: Who, real: tuple[Message, ...] | None, ours: tuple[Message, ...] | None
    ) -> bool:
        if real is None or ours is None:
            return real is ours
        for pair in zip(real, ours, strict=False):
            if not self._same_message(who, *pair):
                return False
            if self._stopped_half_way(*pair):
                self.over = True
                return True
        return len(real) == len(ours)

    def _stopped_half_way(self, real: Message, ours: Message) -> bool:
        """Whether RM gave up in the midst of a subtree. How much is left of that is another matter,
        and the transaction's alone, which cannot be committed."""
        request = self._asked.get(real.req_id)
        return (
            request is not None
            and request.type == Op.RM
            and real.tx_id != 0
            and real.payload == ours.payload == b"EIO\0"
        )

    def _same_message(self, who: Who, real: Message, ours: Message) -> bool:
        request = self._asked.get(real.req_id)
        if request is None:
            return real == ours
        return (real == ours or is_known(request, real, ours)) and self._generations.agree(
            who, request, real, ours
        )


def _may_end_rings(step: Step) -> bool:
    if isinstance(step, Say):
        return any(request.type in _MAY_END_RINGS for request in step.requests)
    return isinstance(step, Introduce | Destroy | ShutDown)


def _lines(heard: tuple[Message, ...] | None) -> str:
    if heard is None:
        return "the connection ended"
    return "\n       ".join(_line(message) for message in heard) or "nothing"


def _line(message: Message) -> str:
    name = Op(message.type).name if message.type in Op.__members__.values() else message.type
    return f"{name} req={message.req_id} tx={message.tx_id} {message.payload!r}"
