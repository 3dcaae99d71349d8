"""A daemon's state out of it, and into a fresh one.

The daemon itself knows nothing of the format: within another program it needs none.
"""

from collections.abc import Iterable

from xenstore_sim.migration import saving
from xenstore_sim.migration.records import Record
from xenstore_sim.migration.restoring import restore_store
from xenstore_sim.migration.restoring_connections import restore_connections
from xenstore_sim.migration.restoring_counts import restore_counts
from xenstore_sim.migration.saving import Answered, Sockets
from xenstore_sim.migration.supplement import Supplement
from xenstore_sim.store.daemon import Daemon
from xenstore_sim.store.watches import ConnId


def stream_version(daemon: Daemon) -> int:
    """The version of the format that the daemon's release writes."""
    return 2 if daemon.world.compat.watch_depth else 1


def save_store(daemon: Daemon) -> tuple[Record, ...]:
    """What outlives the end of all connections: nodes, and which domains there are."""
    return saving.save_store(daemon.world)


def save_all(
    daemon: Daemon, sockets: Sockets, answered: Answered | None, version: int
) -> tuple[tuple[Record, ...], Supplement]:
    """Everything, for another daemon that goes on with the same connections.

    answered: the reply to the request that asks for this. What injected faults keep back is not
    saved: the other daemon has dice of its own, and `let_go` delivers it before.
    """
    return saving.save_all(daemon.world, daemon.last_conn, sockets, answered, version)


def restore(
    daemon: Daemon, records: Iterable[Record], supplement: Supplement | None = None
) -> None:
    """Let a fresh daemon begin with this state, as `save_store` or `save_all` made it.

    Raises: StateError; the daemon is of no use then.
    """
    records = tuple(records)
    world = daemon.world
    restore_store(world, records, supplement)
    if supplement is not None:
        restore_connections(world, records, supplement)
        restore_counts(world, supplement)
        daemon.last_conn = ConnId(supplement.last_conn)
