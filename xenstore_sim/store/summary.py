"""What a daemon did and who is a burden on it, as text for people."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from xenstore_sim.store.call import World
from xenstore_sim.store.connection import Connection
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.trace import payload_text

_SHOWN_MAX: Final = 5
"""Clients and watches that are named, the worst first."""
_WATCH_SHOWN_MAX: Final = 240
"""Characters of a watch: escapes take four for a byte, and all of it is to fit in one reply."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From what on somebody is named."""

    unread: int = 100
    """Messages that wait for a client."""
    events: int = 1000
    """Times that a watch fired."""


def summary(world: World, thresholds: Thresholds) -> str:
    """A line for each topic."""
    return "\n".join((*_counts(world), *_slow(world, thresholds), *_storms(world, thresholds), ""))


def _counts(world: World) -> Iterator[str]:
    connections, counters = world.connections.values(), world.counters
    rings = sum(conn.ring for conn in connections)
    transactions = sum(len(conn.transactions) for conn in connections)
    yield (
        f"now: {len(connections)} connections, {rings} of them rings; {len(world.watches)} watches;"
        f" {len(world.tree)} nodes; {transactions} transactions"
    )
    requests = {Op(number).name: count for number, count in counters.requests.items() if count}
    yield f"requests: {_by_count(requests)}"
    yield f"refused: {_by_count(counters.errors)}"
    yield f"conflicts: {counters.conflicts} transactions"
    yield (
        f"events: {counters.events} queued, {counters.events_suppressed} waited already,"
        f" {counters.events_expired} expired, {counters.events_lost} lost for want of memory"
    )
    yield (
        f"ended: {counters.slow_clients} clients that did not read,"
        f" {counters.violations} that broke the protocol;"
        f" {counters.refused_connections} turned away"
    )


def _by_count(counts: Mapping[str, int]) -> str:
    """`12: READ 10, WRITE 2`."""
    parts = (f"{name} {count}" for name, count in sorted(counts.items(), key=lambda each: -each[1]))
    return f"{sum(counts.values())}: {', '.join(parts)}" if counts else "0"


def _slow(world: World, thresholds: Thresholds) -> Iterator[str]:
    waiting = sorted(
        ((conn.outbox.count, conn) for conn in world.connections.values()),
        key=lambda each: -each[0],
    )
    longest = _queue(*waiting[0]) if waiting and waiting[0][0] else "none"
    yield f"longest queue: {longest}"
    slow = [_queue(*each) for each in waiting[:_SHOWN_MAX] if each[0] >= thresholds.unread]
    yield f"do not read, {thresholds.unread} messages or more: {'; '.join(slow) or 'none'}"


def _queue(count: int, conn: Connection) -> str:
    return f"{conn.name}: {count} messages, {len(conn.outbox)} bytes"


def _storms(world: World, thresholds: Thresholds) -> Iterator[str]:
    fired = sorted(
        (watch for watch in world.watches if watch.fired >= thresholds.events),
        key=lambda watch: -watch.fired,
    )
    head = f"watches that fired {thresholds.events} times or more:"
    yield head if fired else f"{head} none"
    for watch in fired[:_SHOWN_MAX]:
        what = payload_text(f"{watch.path}\0".encode("ascii") + watch.token)
        if len(what) > _WATCH_SHOWN_MAX:
            what = f"{what[:_WATCH_SHOWN_MAX]} ..."
        yield f"  {world.connections[watch.conn].name} {what}: {watch.fired}"
