"""The memory that a domain takes, in bytes, and its bound.

Counted is what C xenstored of Xen 4.17 was seen to count: nodes as records of its data base (path,
header, permissions, value, names of children), paths and tokens of watches, a copy of each node
that an open transaction accessed, and replies and events that wait.
"""

from xenstore_sim.store.call import World
from xenstore_sim.store.connection import Connection
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.names import DOM0, DomId
from xenstore_sim.wire.ops import Errno


def memory_of(world: World, domid: DomId) -> int:
    """Bytes that the domain takes now; of dom0, only its nodes."""
    conn_id = world.by_domain.get(domid)
    if conn_id is not None:
        return memory_of_connection(world, world.connections[conn_id])
    account = world.accounts.get(domid)
    return 0 if account is None else account.bytes


def memory_of_connection(world: World, conn: Connection) -> int:
    """The same, of the domain that this is the connection of."""
    held = conn.account.bytes + world.watches.size(conn.id) + conn.outbox.waiting
    return held + conn.transactions.size if len(conn.transactions) else held


def has_room(world: World, conn: Connection, more: int) -> bool:
    """Whether an event of so many bytes can wait for this client."""
    if conn.identity.privileged:
        return True
    bound = world.quotas_of(conn.identity.domid).memory
    return not bound or memory_of_connection(world, conn) + more < bound


def grow(world: World, domid: DomId, more: int, errno: Errno = Errno.ENOMEM) -> None:
    """The domain is about to take so many bytes more, whoever is the reason.

    Where that crosses the soft bound, it is told. Raises: Refusal, with this errno.
    """
    if more <= 0 or domid == DOM0:
        return
    quotas, used = world.quotas_of(domid), memory_of(world, domid) + more
    if quotas.memory and used >= quotas.memory:
        raise Refusal(errno)
    account = world.accounts.of(domid)
    account.note("memory", used)
    above = bool(quotas.soft_memory) and used >= quotas.soft_memory
    if above and not account.above_soft:
        world.counters.soft_quota_warnings += 1
        account.warnings += 1
        world.log.say_seldom(
            f"domain {domid} takes {used} bytes of memory, its soft quota is {quotas.soft_memory}",
            account.warnings,
        )
    account.above_soft = above


def note_stall(world: World, conn: Connection) -> None:
    """The domain's requests wait from now on; where that is for its memory, it is told."""
    bound = world.quotas_of(conn.identity.domid).memory
    used = memory_of_connection(world, conn)
    if bound and used >= bound:
        conn.account.stalls += 1
        world.log.say_seldom(
            f"domain {conn.identity.domid} takes {used} bytes of memory, its quota is {bound}:"
            " its requests wait until it takes what is sent to it",
            conn.account.stalls,
        )
