"""A daemon's state becomes records, and what it has besides.

Source: docs/designs/xenstore-migration.md of Xen.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Final

from xenstore_sim.migration.records import (
    NO_DESCRIPTOR,
    ConnectionData,
    DomainData,
    GlobalData,
    GlobalQuotaData,
    NodeAccess,
    NodeData,
    PermEntry,
    Record,
    RingEnd,
    SocketEnd,
    TransactionData,
    WatchData,
)
from xenstore_sim.migration.supplement import (
    AccessState,
    AccountState,
    ConnectionState,
    DomainState,
    LogState,
    Supplement,
    TransactionState,
)
from xenstore_sim.store.call import World
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.domains import Domain
from xenstore_sim.store.log import SWITCHES
from xenstore_sim.store.node import Node
from xenstore_sim.store.outbox import Unfinished
from xenstore_sim.store.quotas import QUOTA_NAMES, Quotas
from xenstore_sim.store.transactions import Access
from xenstore_sim.store.watches import ConnId, Watch
from xenstore_sim.wire.names import INTRODUCE_DOMAIN, RELEASE_DOMAIN, DomId, NodePath, TxId
from xenstore_sim.wire.perms import Perm

_NO_PORT: Final = 0
"""Event channels are Xen's; rings here have doorbells instead."""
_DOMID_MAX: Final = 0xFFFF
_DEPTH_MAX: Final = 0xFFFE


@dataclass(frozen=True, slots=True)
class Sockets:
    """Descriptors that the stream names."""

    listening: int
    connections: Mapping[ConnId, int]


@dataclass(frozen=True, slots=True)
class Answered:
    """The reply to the request that is being handled: not in the client's outbox yet."""

    conn: ConnId
    packet: bytes


def save_store(world: World) -> tuple[Record, ...]:
    """What outlives the end of all connections: nodes, and which domains there are."""
    introduced = (domain for domain in world.domains if domain.introduced)
    rings = (
        ConnectionData(number, RingEnd(domain.domid, domain.target, _NO_PORT))
        for number, domain in enumerate(introduced, 1)
    )
    return (*rings, *_node_records(world, _nodes(world)), *_domains(world))


def save_all(
    world: World, last_conn: ConnId, sockets: Sockets, answered: Answered | None, version: int
) -> tuple[tuple[Record, ...], Supplement]:
    """Everything, for a daemon that goes on with the same connections."""
    requests = _Requests(world)
    connections = [
        _Saved(world, conn, sockets, answered, requests, version)
        for conn in world.connections.values()
    ]
    unconnected = (
        domain
        for domain in world.domains
        if domain.introduced and domain.domid not in world.by_domain
    )
    nodes = tuple(_nodes(world))
    records = (
        GlobalData(sockets.listening, NO_DESCRIPTOR),
        GlobalQuotaData(_quotas(world.quotas)),
        *(record for saved in connections for record in saved.records),
        *(
            ConnectionData(number, RingEnd(domain.domid, domain.target, _NO_PORT))
            for number, domain in enumerate(unconnected, last_conn + 1)
        ),
        *_node_records(world, nodes),
        *_domains(world),
    )
    states = tuple(saved.state for saved in connections)
    transactions = tuple(state for saved in connections for state in saved.transactions)
    generations = tuple(node.generation for _, node in nodes)
    return records, _supplement(world, last_conn, generations, states, transactions, requests)


class _Requests:
    """Numbers for requests that are not finished."""

    def __init__(self, world: World) -> None:
        self._conns = {id(conn.outbox): conn.id for conn in world.connections.values()}
        self._numbers: dict[int, int] = {}
        self.askers: list[int] = []

    def number(self, unfinished: Unfinished) -> int | None:
        """That of this one; None: who asked is gone, and nobody waits for it."""
        number = self._numbers.get(id(unfinished))
        asker = self._conns.get(id(unfinished.asker))
        if number is None and asker is not None:
            number = self._numbers[id(unfinished)] = len(self.askers)
            self.askers.append(asker)
        return number


class _Saved:
    """One connection."""

    def __init__(
        self,
        world: World,
        conn: Connection,
        sockets: Sockets,
        answered: Answered | None,
        requests: _Requests,
        version: int,
    ) -> None:
        packets = list(conn.outbox.packets())
        waiting = [packet for packet, _ in packets]
        if answered is not None and answered.conn == conn.id:
            waiting.append(answered.packet)
        unsent = b"".join(waiting)[conn.outbox.taken :]
        torn = len(waiting[0]) - conn.outbox.taken if conn.outbox.taken else 0
        end = _end(world, conn, sockets)
        self.transactions: list[TransactionState] = []
        self.records: list[Record] = [
            ConnectionData(conn.id, end, conn.decoder.unread, unsent, torn),
            *(_watch(conn.id, watch, version) for watch in world.watches.of(conn.id)),
        ]
        for tx_id, transaction in conn.transactions.items():
            accesses = tuple(transaction.accesses())
            self.records.append(TransactionData(conn.id, tx_id))
            self.records += (
                _pending(world, conn.id, tx_id, path, access) for path, access in accesses
            )
            states = tuple(_access(access) for _, access in accesses)
            self.transactions.append(TransactionState(transaction.poisoned, states))
        self.state = ConnectionState(
            conn.id,
            conn.ring,
            conn.broken,
            waiting[0][: conn.outbox.taken] if waiting else b"",
            _causes(packets, requests),
            conn.transactions.last,
        )


def _causes(
    packets: list[tuple[bytes, Unfinished | None]], requests: _Requests
) -> tuple[tuple[int, int], ...]:
    numbers = (
        (index, requests.number(cause))
        for index, (_, cause) in enumerate(packets)
        if cause is not None
    )
    return tuple((index, number) for index, number in numbers if number is not None)


def _end(world: World, conn: Connection, sockets: Sockets) -> RingEnd | SocketEnd:
    domid = conn.identity.domid
    if world.by_domain.get(domid) == conn.id:
        # A domain on a socket too: a socket of the format is dom0's.
        return RingEnd(domid, conn.identity.target, _NO_PORT)
    return SocketEnd(sockets.connections[conn.id])


def _watch(conn: ConnId, watch: Watch, version: int) -> WatchData:
    # No path has so many levels. Version 1 has no depths: whoever reads it gets all events.
    depth = None if watch.depth is None or version == 1 else min(watch.depth, _DEPTH_MAX)
    return WatchData(conn, watch.path[watch.home_length :], watch.token, depth)


def _pending(world: World, conn: ConnId, tx_id: TxId, path: str, access: Access) -> NodeData:
    node = access.node
    if node is None:
        return NodeData(path, b"", (), conn, tx_id)
    accessed = NodeAccess.READ | (NodeAccess.WRITTEN if access.modified else NodeAccess.NONE)
    return NodeData(path, node.value, _perms(world, node), conn, tx_id, accessed)


def _access(access: Access) -> AccessState:
    before, node = access.before, access.node
    return AccessState(
        None if before is None else (before.generation, str(before.perms)),
        b"" if node is None else node.children,
        access.modified,
        access.told,
        access.exact,
    )


def _nodes(world: World) -> Iterator[tuple[NodePath, Node]]:
    """All of the store, the special ones last."""
    yield from world.tree.walk()
    for special in (RELEASE_DOMAIN, INTRODUCE_DOMAIN):
        node = world.tree.get(special)
        assert node is not None, f"{special} is always there"
        yield special, node


def _node_records(world: World, nodes: Iterable[tuple[NodePath, Node]]) -> Iterator[NodeData]:
    owners: dict[Perm, tuple[PermEntry, ...]] = {}
    for path, node in nodes:
        owner, *exceptions = node.perms.entries
        if exceptions:
            perms = _perms(world, node)
        elif (known := owners.get(owner)) is not None:
            perms = known
        else:
            perms = owners[owner] = _perms(world, node)
        yield NodeData(path, node.value, perms)


def _perms(world: World, node: Node) -> tuple[PermEntry, ...]:
    stale = world.rules.stale_entries(node)
    owner, *exceptions = node.perms.entries
    return (
        PermEntry(owner.access, owner.domid),
        *(
            # No domain has a greater one; the entry cannot count.
            PermEntry(entry.access, DomId(min(entry.domid, _DOMID_MAX)), entry.domid in stale)
            for entry in exceptions
        ),
    )


def _domains(world: World) -> Iterator[DomainData]:
    # By number: a daemon that took this over knows them in another order, and says the same.
    for domain in sorted(world.domains, key=lambda domain: domain.domid):
        yield DomainData(domain.domid, domain.features, _domain_quotas(world, domain))


def _domain_quotas(world: World, domain: Domain) -> tuple[tuple[str, int], ...]:
    return _quotas(domain.quotas) if world.compat.domain_quotas else ()


def _quotas(quotas: Quotas) -> tuple[tuple[str, int], ...]:
    return tuple((name, quotas.quota(name)) for name in QUOTA_NAMES)


def _supplement(
    world: World,
    last_conn: ConnId,
    generations: tuple[int, ...],
    connections: tuple[ConnectionState, ...],
    transactions: tuple[TransactionState, ...],
    requests: _Requests,
) -> Supplement:
    counters = world.counters
    return Supplement(
        last_conn=last_conn,
        generation=world.tree.generation,
        generations=generations,
        domains=tuple(
            DomainState(
                each.domid, each.generation, each.introduced, each.shutdown_reported, each.dead
            )
            for each in world.domains
        ),
        holds=world.domains.holds,
        connections=connections,
        transactions=transactions,
        unfinished=tuple(requests.askers),
        accounts=tuple(
            AccountState(
                domid, dict(account.most), account.above_soft, account.warnings, account.stalls
            )
            for domid, account in world.accounts
        ),
        past=dict(world.accounts.past),
        counters={
            each.name: value
            for each in fields(counters)
            if isinstance(value := getattr(counters, each.name), int)
        },
        requests=dict(counters.requests),
        errors=dict(counters.errors),
        log=LogState(world.log.opened, tuple(filter(world.log.is_on, SWITCHES))),
    )
