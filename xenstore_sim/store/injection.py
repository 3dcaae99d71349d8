"""Does wrong on purpose what a fault plan says, in front of the daemon's right answers.

Two laws hold whatever the plan: no event comes before its cause, and those of one connection keep
their order, as every real daemon keeps it. A kept-back event comes before the answer to UNWATCH.
"""

from collections import deque
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Final

from xenstore_sim.store import lifecycle
from xenstore_sim.store.call import World
from xenstore_sim.store.commands import Close
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.connection_faults import ConnectionFaults, LateEvent
from xenstore_sim.store.dispatch import answer
from xenstore_sim.store.faults import (
    PATH_OPS,
    Delay,
    FaultKind,
    FaultPlan,
    Faults,
    InjectedFault,
)
from xenstore_sim.store.watches import ConnId, Watch
from xenstore_sim.wire.errors import InvalidPath
from xenstore_sim.wire.layout import Packet, encode_packet
from xenstore_sim.wire.messages import WatchEvent
from xenstore_sim.wire.names import DomId, NodePath, resolve
from xenstore_sim.wire.ops import Errno, Op

INJECTED_MAX: Final = 1000
"""Faults that are remembered; older ones are only counted."""
LATE_MAX: Final = 1024
"""Events of one connection kept back at once; with more the oldest is let go."""
_OPS: Final[dict[int, Op]] = {op.value: op for op in Op}
_ORDERED: Final = frozenset({Op.UNWATCH, Op.RESET_WATCHES})
"""Requests whose answer no event of before may follow."""
_NAMES_PATH: Final = PATH_OPS | {Op.WATCH, Op.UNWATCH}


@dataclass(slots=True)
class FaultLog:
    """What was injected into a daemon, by all plans it had."""

    last: deque[InjectedFault] = field(default_factory=lambda: deque(maxlen=INJECTED_MAX))
    count: int = 0

    def add(self, kind: FaultKind, connection: str, target: str, effect: str) -> None:
        """One more happened."""
        self.count += 1
        self.last.append(InjectedFault(self.count, kind, connection, target, effect))


@dataclass(frozen=True, slots=True)
class _Request:
    """A request as plans aim at it."""

    domid: DomId
    op: Op
    path: NodePath | None

    def __str__(self) -> str:
        return f"{self.op.name} {self.path}" if self.path else self.op.name


class Injector:
    """A plan at work in one daemon."""

    __slots__ = ("_connected", "_log", "_plan", "_timed", "_world")

    def __init__(self, world: World, plan: FaultPlan, log: FaultLog) -> None:
        self._world = world
        self._plan = plan
        self._log = log
        self._connected: dict[DomId, int] = {}
        self._timed: dict[ConnId, Connection] = {}
        """Connections that wait for a moment."""
        world.notifier.divert = self._divert

    def answer(self, conn: Connection, packet: Packet) -> None:
        """What `dispatch.answer` does, or something worse."""
        state, op = self._state(conn), _OPS.get(packet.type)
        if state is None or op is None:
            answer(self._world, conn, packet)
            return
        request = _Request(conn.identity.domid, op, _path(packet, op, conn.identity.domid))
        if op in _ORDERED:
            self._let_go(conn, state)
        self._fire_without_cause(conn, state, state.requests)
        if self._strikes(state, FaultKind.DISCONNECT, request) is not None:
            self._disconnect(conn, state, packet, request)
            return
        if not self._refuses(conn, state, packet, request):
            answer(self._world, conn, packet)
        if (faults := self._strikes(state, FaultKind.SLOW, request)) is not None:
            delay = _seconds(state.requests, faults.slow_s)
            self._note(FaultKind.SLOW, state, str(request), f"answered {delay:.3f} s later")
            state.mute(delay)
            self._timed[conn.id] = conn

    def mutes(self, conn: Connection) -> bool:
        """Whether the output of this connection has to wait."""
        return conn.faults is not None and conn.faults.muted

    def next_deadline(self) -> float | None:
        """When `tick` has something to do; minus infinity: it has to hear the time first."""
        deadlines = (conn.faults.next_deadline() for conn in self._timed.values() if conn.faults)
        return min(deadlines, default=None)

    def tick(self, now: float) -> None:
        """Let go what waited for this moment."""
        for conn_id, conn in tuple(self._timed.items()):
            state = conn.faults
            if state is not None:
                state.schedule(now)
                self._let_go(conn, state, now)
                if state.unmute(now):
                    self._wake(conn)
            if state is None or state.next_deadline() == inf:
                del self._timed[conn_id]

    def end(self) -> None:
        """Do nothing wrong any more; what waits is let go now."""
        for conn in self._world.connections.values():
            if conn.faults is not None:
                self._let_go(conn, conn.faults)
                self._wake(conn)
                conn.faults = None
        self._world.notifier.divert = None

    # -- requests

    def _refuses(
        self, conn: Connection, state: ConnectionFaults, packet: Packet, request: _Request
    ) -> bool:
        for kind, errno in ((FaultKind.ENOSPC, Errno.ENOSPC), (FaultKind.EACCES, Errno.EACCES)):
            if self._strikes(state, kind, request) is not None:
                self._refuse(conn, packet, errno)
                self._note(kind, state, str(request), "refused, nothing was done")
                return True
        transaction = conn.transactions.get(packet.tx_id)
        if (
            transaction is not None
            and request.op is Op.TRANSACTION_END
            and packet.payload == b"T\0"
            and not transaction.poisoned
            and transaction.is_current()
            and self._strikes(state, FaultKind.EAGAIN, request) is not None
        ):
            conn.transactions.end(packet.tx_id)
            self._world.counters.conflicts += 1
            self._refuse(conn, packet, Errno.EAGAIN)
            target = f"{request} of transaction {packet.tx_id}"
            self._note(FaultKind.EAGAIN, state, target, "refused, nothing was done")
            return True
        return False

    def _refuse(self, conn: Connection, packet: Packet, errno: Errno) -> None:
        counters, op = self._world.counters, Op(packet.type)
        counters.requests[op] += 1
        counters.refused(errno)
        error = f"{errno}\0".encode("ascii")
        conn.outbox.put_reply(encode_packet(Op.ERROR, packet.req_id, packet.tx_id, error))

    def _disconnect(
        self, conn: Connection, state: ConnectionFaults, packet: Packet, request: _Request
    ) -> None:
        done = state.requests.random() < 0.5
        if done:
            answer(self._world, conn, packet)
        self._note(
            FaultKind.DISCONNECT,
            state,
            str(request),
            "connection ended after it was done" if done else "connection ended before it was done",
        )
        lifecycle.end_connection(self._world, conn.id)
        self._world.commands.append(Close(conn.id))

    def _strikes(
        self, state: ConnectionFaults, kind: FaultKind, request: _Request
    ) -> Faults | None:
        """The part of the plan by which this fault meets this request."""
        if kind is FaultKind.DISCONNECT and state.ring:
            return None
        for faults in self._plan.faults:
            rate = faults.request_rate(kind, request.domid, request.op, request.path)
            if rate and state.requests.random() < rate:
                return faults
        return None

    # -- events

    def _divert(self, conn: Connection, event: WatchEvent, always: bool) -> bool:
        """Whether the event is kept back, to be let go by a later `tick`."""
        state = self._state(conn)
        if state is None:
            return False
        self._fire_without_cause(conn, state, state.events)
        path = _resolved(event.path, conn.identity.domid)
        delay = None if path is None else self._delay(conn, state, path)
        if delay is None and not state.late:
            return False
        if delay is not None:
            self._note(FaultKind.LATE, state, f"event of {path}", f"{delay:.3f} s later")
        self._keep(conn, state, LateEvent(event, always, delay or 0.0))
        return True

    def _delay(self, conn: Connection, state: ConnectionFaults, path: NodePath) -> float | None:
        for faults in self._plan.faults:
            rate = faults.event_rate(FaultKind.LATE, conn.identity.domid, path)
            if rate and state.events.random() < rate:
                return _seconds(state.events, faults.late_s)
        return None

    def _fire_without_cause(
        self, conn: Connection, state: ConnectionFaults, random: Random
    ) -> None:
        watches = self._world.watches.of(conn.id)
        for faults in self._plan.faults:
            aims = [
                watch
                for watch in watches
                if faults.event_rate(FaultKind.SPURIOUS, conn.identity.domid, watch.path)
            ]
            if aims and random.random() < faults.spurious:
                self._fire(conn, state, random.choice(aims))

    def _fire(self, conn: Connection, state: ConnectionFaults, watch: Watch) -> None:
        event = LateEvent(WatchEvent(watch.path[watch.home_length :], watch.token), False, 0.0)
        self._note(FaultKind.SPURIOUS, state, f"watch on {watch.path}", "fired without a change")
        if state.late:
            self._keep(conn, state, event)
        else:
            self._put(conn, event)

    def _keep(self, conn: Connection, state: ConnectionFaults, event: LateEvent) -> None:
        if len(state.late) >= LATE_MAX:
            self._put(conn, state.late.popleft())
        state.late.append(event)
        self._timed[conn.id] = conn

    def _let_go(self, conn: Connection, state: ConnectionFaults, now: float = inf) -> None:
        while state.late and (now == inf or state.late[0].due <= now):
            self._put(conn, state.late.popleft())

    def _put(self, conn: Connection, late: LateEvent) -> None:
        notifier = self._world.notifier
        notifier.divert = None
        notifier.put(conn, late.event, always=late.always)
        notifier.divert = self._divert

    # -- both

    def _state(self, conn: Connection) -> ConnectionFaults | None:
        if conn.spared:
            return None
        if conn.faults is None:
            domid = conn.identity.domid
            self._connected[domid] = number = self._connected.get(domid, 0) + 1
            conn.faults = ConnectionFaults(self._plan.seed or 0, domid, number, ring=conn.ring)
        return conn.faults

    def _note(self, kind: FaultKind, state: ConnectionFaults, target: str, effect: str) -> None:
        self._log.add(kind, state.name, target, effect)

    def _wake(self, conn: Connection) -> None:
        if conn.outbox.waiting:
            self._world.notifier.woken[conn.id] = conn.send


def _seconds(random: Random, delay: Delay) -> float:
    return random.uniform(delay.least, delay.most)


def _path(packet: Packet, op: Op, domid: DomId) -> NodePath | None:
    if op not in _NAMES_PATH:
        return None
    return _resolved(packet.payload.partition(b"\0")[0].decode("latin-1"), domid)


def _resolved(text: str, domid: DomId) -> NodePath | None:
    try:
        return resolve(text, domid)
    except InvalidPath:
        return None
