"""What must hold of a daemon's whole state after anything that anybody did."""

from collections import Counter
from collections.abc import Iterator

from xenstore_sim.store.call import World
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.daemon import Daemon
from xenstore_sim.store.outbox import EVENT_BYTES_MAX, Unfinished
from xenstore_sim.wire.layout import HEADER_SIZE, PAYLOAD_MAX
from xenstore_sim.wire.names import (
    DOM0,
    INTRODUCE_DOMAIN,
    RELEASE_DOMAIN,
    ROOT,
    absolute_path,
    special_path,
)
from xenstore_sim.wire.ops import Op

PORTION_MAX = 8 * 1024
"""Bytes that a shell feeds at once."""
UNTAKEN_MAX = HEADER_SIZE + PAYLOAD_MAX - 1 + PORTION_MAX
"""Bytes in a decoder: an incomplete message, and the portion that met a full outbox."""


def world_of(daemon: Daemon) -> World:
    """The state behind the interface: tests look at it, nobody else."""
    return daemon.world


def unsound(daemon: Daemon) -> tuple[str, ...]:
    """What is wrong, a line each; holds between any two calls of the daemon."""
    world = world_of(daemon)
    return (
        *_tree(world),
        *_connections(world),
        *_watches(world),
        *_domains(world),
        *_statistics(daemon),
    )


def over_quota(daemon: Daemon) -> tuple[str, ...]:
    """Which domain has more than it may, a line each; holds where dom0 gives domains nothing and
    changes no quota under them."""
    world = world_of(daemon)
    rules, found = world.quota_rules, []
    for conn in world.connections.values():
        domid = conn.identity.domid
        if domid == DOM0:
            continue
        quotas = world.quotas_of(domid)
        if rules.too_many(world.tree.owned(domid), quotas.nodes):
            found.append(f"domain {domid} owns {world.tree.owned(domid)} nodes")
        if rules.too_many_open(world.watches.count(conn.id), quotas.watches):
            found.append(f"domain {domid} has {world.watches.count(conn.id)} watches")
        if rules.too_many_open(len(conn.transactions), quotas.transactions):
            found.append(f"domain {domid} has {len(conn.transactions)} transactions")
        for tx_id, transaction in conn.transactions._open.items():
            if rules.too_many(len(transaction._accessed), quotas.transaction_nodes):
                found.append(f"transaction {tx_id} of domain {domid} has too many nodes")
    for path, node in world.tree.items():
        owner = node.perms.owner
        size = rules.node_size(node.size)
        if owner != DOM0 and rules.too_large(size, world.quotas_of(owner).node_size):
            found.append(f"{path} of domain {owner} is too large")
    return tuple(found)


def _tree(world: World) -> Iterator[str]:
    yield from world.tree.inconsistencies()
    nodes: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    for path, node in world.tree.items():
        if path.startswith("@"):
            # The special nodes count for nobody.
            continue
        nodes[node.perms.owner] += 1
        sizes[node.perms.owner] += world.tree.memory(path, node)
    for domid, account in world.accounts:
        if (account.nodes, account.bytes) != (nodes.pop(domid, 0), sizes[domid]):
            yield f"domain {domid} has {account.nodes} nodes of {account.bytes} bytes counted"
    if nodes:
        yield f"owners without an account: {sorted(nodes)}"
    generations = Counter(
        node.generation for path, node in world.tree.items() if path.startswith("/")
    )
    if max(generations) > world.tree.generation or max(generations.values()) > 1:
        yield "a generation is from the future, or twice"
    for path in (ROOT, INTRODUCE_DOMAIN, RELEASE_DOMAIN):
        if world.tree.get(path) is None:
            yield f"{path} is missing"
    for path, node in world.tree.items():
        checked = special_path(path) if path.startswith("@") else absolute_path(path)
        if checked != path or len(set(node.child_names)) != len(node.child_names):
            yield f"{path} is malformed or lists a child twice"


def _connections(world: World) -> Iterator[str]:
    for conn_id, conn in world.connections.items():
        domid = conn.identity.domid
        yield from (f"connection {conn_id}: {wrong}" for wrong in _connection(conn))
        if conn.id != conn_id:
            yield f"connection {conn_id} calls itself {conn.id}"
        if conn.account is not world.accounts.get(domid):
            yield f"connection {conn_id} has another account than domain {domid}"
        if domid == DOM0:
            continue
        if world.by_domain.get(domid) != conn_id:
            yield f"connection {conn_id} of domain {domid} is not that domain's"
        domain = world.domains.introduced(domid)
        if domain is None:
            yield f"connection {conn_id} is of domain {domid}, which is not introduced"
        elif domain.target != conn.identity.target:
            yield f"domain {domid} has another target than its connection"
    for domid, conn_id in world.by_domain.items():
        if conn_id not in world.connections:
            yield f"domain {domid} has connection {conn_id}, which is closed"
    yield from _unfinished(world)
    if world.notifier.woken or world.notifier.deaf or world.commands:
        yield "something is left to be told to the shell"


def _connection(conn: Connection) -> Iterator[str]:
    outbox = conn.outbox
    if outbox.waiting != sum(map(len, outbox._packets)) - outbox._taken:
        yield f"outbox of {outbox.waiting} bytes holds others"
    if outbox.waiting > EVENT_BYTES_MAX:
        yield f"outbox holds {outbox.waiting} bytes"
    if outbox._taken and outbox._taken >= len(outbox._packets[0]):
        yield "a packet is sent and still there"
    caused = [key for key in outbox._keys if isinstance(key, tuple)]
    events = {key for key in outbox._keys if isinstance(key, bytes)} | {key for key, _ in caused}
    if len(outbox._keys) != len(outbox._packets) or not outbox._event_keys <= events:
        yield "outbox remembers events that it does not hold"
    if outbox._caused != len(caused):
        yield f"{outbox._caused} events with a cause are counted, {len(caused)} wait"
    if outbox.replies != outbox._keys.count(None):
        yield f"{outbox.replies} replies are counted, {outbox._keys.count(None)} wait"
    if conn.decoder.buffered > UNTAKEN_MAX:
        yield f"decoder holds {conn.decoder.buffered} bytes"
    if conn.broken and (not conn.ring or outbox.waiting or len(conn.transactions)):
        yield "it is broken and not forgotten"


def _unfinished(world: World) -> Iterator[str]:
    """Requests that wait for packets which others have not taken."""
    waiting: Counter[Unfinished] = Counter()
    for conn in world.connections.values():
        keys = conn.outbox._keys
        waiting.update(key for key in keys if isinstance(key, Unfinished))
        waiting.update(key[1] for key in keys if isinstance(key, tuple))
    for request, packets in waiting.items():
        if request._waiting != packets:
            yield f"a request waits for {request._waiting} packets, of which {packets} are there"
    for conn_id, conn in world.connections.items():
        mine = sum(1 for request in waiting if request.asker is conn.outbox)
        if conn.outbox.unfinished != mine:
            yield f"connection {conn_id}: {conn.outbox.unfinished} unfinished, there are {mine}"


def _watches(world: World) -> Iterator[str]:
    by_connection = {
        watch for own in world.watches._by_connection.values() for watch in own.values()
    }
    by_path = {watch for here in world.watches._by_path.values() for watch in here.values()}
    if by_connection != by_path:
        yield f"watches listed once only: {by_connection ^ by_path}"
    for watch in by_connection:
        conn = world.connections.get(watch.conn)
        if conn is None or conn.broken:
            yield f"a watch on {watch.path} of connection {watch.conn}, which is closed"
    for path, here in world.watches._by_path.items():
        if not here or any(watch.path != path for watch in here.values()):
            yield f"no watch or another one is kept for {path}"
    for conn_id in world.watches._by_connection:
        if conn_id not in world.connections:
            yield f"watches are kept for connection {conn_id}, which is closed"


def _domains(world: World) -> Iterator[str]:
    for domid, domain in world.domains._known.items():
        if domain.domid != domid:
            yield f"domain {domid} calls itself {domain.domid}"
        for held in world.domains.held_by(domid):
            if held != DOM0 and world.domains.introduced(held) is None:
                yield f"domain {domid} holds domain {held}, which is not introduced"
        if domain.generation > world.tree.generation:
            yield f"domain {domid} is from the future"


def _statistics(daemon: Daemon) -> Iterator[str]:
    world, shown = world_of(daemon), daemon.statistics()
    if shown.connections != len(world.connections):
        yield f"{shown.connections} connections counted, there are {len(world.connections)}"
    if shown.watches != sum(map(len, world.watches._by_connection.values())):
        yield f"{shown.watches} watches counted"
    if shown.nodes != sum(1 for _ in world.tree.items()):
        yield f"{shown.nodes} nodes counted"
    if shown.conflicts > shown.requests.get(Op.TRANSACTION_END, 0):
        yield "more conflicts than ends of transactions"
