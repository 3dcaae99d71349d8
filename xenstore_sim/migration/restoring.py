"""Records become a daemon's state. What contradicts itself is refused, with its record.

Source: docs/designs/xenstore-migration.md of Xen.
"""

from collections.abc import Iterable

from xenstore_sim.migration.errors import StateError
from xenstore_sim.migration.records import (
    ConnectionData,
    DomainData,
    GlobalQuotaData,
    NodeData,
    PermEntry,
    Record,
    RingEnd,
    TransactionData,
    WatchData,
)
from xenstore_sim.migration.supplement import Supplement
from xenstore_sim.store.call import World
from xenstore_sim.store.domains import FEATURES, Domain
from xenstore_sim.store.node import Node
from xenstore_sim.store.quotas import QUOTA_NAMES, Quotas
from xenstore_sim.wire.errors import InvalidPath
from xenstore_sim.wire.names import (
    DOM0,
    INTRODUCE_DOMAIN,
    RELEASE_DOMAIN,
    ROOT,
    AbsolutePath,
    DomId,
    NodePath,
    SpecialPath,
    absolute_path,
    base_name,
    parent,
)
from xenstore_sim.wire.perms import NodePerms, Perm


def restore_store(world: World, records: Iterable[Record], supplement: Supplement | None) -> None:
    """Give a fresh world the nodes, domains and quotas of these records.

    supplement: exact generations and more; None: as if all had been written just now. Connections
    are not restored here, but what says whose they are is looked at. Raises: StateError.
    """
    numbered = tuple(enumerate(records, 1))
    _check_connections(numbered)
    for _, record in numbered:
        if isinstance(record, GlobalQuotaData):
            world.quotas = with_quotas(world.quotas, record.of_domains)
    targets = _restore_domains(world, numbered)
    if supplement is None:
        for domain, target in targets:
            world.domains.hold(domain.domid, target)
    else:
        for state in supplement.domains:
            domain = _known(world, state.domid, "the supplement")
            domain.generation = state.generation
            domain.introduced = state.introduced
            domain.shutdown_reported = state.shutdown_reported
            domain.dead = state.dead
        for holder, target in supplement.holds:
            world.domains.hold(holder, target)
    _restore_tree(world, numbered, supplement)


def with_quotas(quotas: Quotas, changes: Iterable[tuple[str, int]]) -> Quotas:
    """The same bounds with those changed that have a name here; others mean nothing to us."""
    for name, value in changes:
        if name in QUOTA_NAMES:
            quotas = quotas.with_quota(name, value)
    return quotas


class Nodes:
    """Makes nodes of records; most nodes have one of a few lists of permissions."""

    def __init__(self) -> None:
        self._lists: dict[tuple[PermEntry, ...], tuple[NodePerms, frozenset[DomId]]] = {}

    def node_of(self, record: NodeData, where: str) -> Node:
        """The node without its children. Raises: StateError."""
        known = self._lists.get(record.perms)
        if known is None:
            if record.perms[0].stale:
                raise StateError(where, "the entry of its owner is stale")
            perms = NodePerms(tuple(Perm(entry.domid, entry.access) for entry in record.perms))
            stale = frozenset(entry.domid for entry in record.perms if entry.stale)
            known = self._lists[record.perms] = perms, stale
        perms, ignored = known
        return Node(record.value, perms, ignored=ignored)


def node_path(text: str, where: str) -> NodePath:
    """The path of a node. Raises: StateError."""
    if text in (INTRODUCE_DOMAIN, RELEASE_DOMAIN):
        return SpecialPath(text)
    try:
        return absolute_path(text)
    except InvalidPath as error:
        raise StateError(where, str(error)) from error


_Numbered = tuple[tuple[int, Record], ...]


def _where(number: int, record: Record) -> str:
    return f"record {number} ({type(record).__name__})"


def _check_connections(numbered: _Numbered) -> None:
    known: set[int] = {0}
    for number, record in numbered:
        match record:
            case NodeData(conn_id=0):
                pass
            case ConnectionData():
                if record.conn_id in known:
                    where = _where(number, record)
                    raise StateError(where, f"a second connection {record.conn_id}")
                known.add(record.conn_id)
            case WatchData(conn_id) | TransactionData(conn_id) | NodeData(conn_id=conn_id):
                if conn_id not in known:
                    where = _where(number, record)
                    raise StateError(where, f"connection {conn_id} is not in the stream before it")


def _restore_domains(world: World, numbered: _Numbered) -> list[tuple[Domain, DomId]]:
    """The domains with their targets."""
    targets: list[tuple[Domain, DomId]] = []
    for number, record in numbered:
        if isinstance(record, NodeData):
            continue
        where = _where(number, record)
        match record:
            # dom0 is always there, and has a ring of its own on Xen.
            case DomainData(domid) if domid != DOM0:
                domain = _known(world, domid, where)
                domain.quotas = with_quotas(world.quotas, record.quotas)
                if world.compat.ring_features:
                    domain.features = record.features & FEATURES
            case ConnectionData(end=RingEnd(domid, target)) if domid != DOM0:
                domain = _known(world, domid, where)
                if domain.introduced:
                    raise StateError(where, f"a second ring of domain {domid}")
                domain.introduced = True
                if target is not None:
                    targets.append((domain, target))
                    if target != DOM0:
                        _known(world, target, where)
    for domain, target in targets:
        domain.target = target
    return targets


def _known(world: World, domid: DomId, where: str) -> Domain:
    domain = world.domains.know(domid, 0, world.quotas)
    if domain is None:
        raise StateError(where, f"there is no domain {domid}")
    return domain


def _restore_tree(world: World, numbered: _Numbered, supplement: Supplement | None) -> None:
    nodes = _saved_nodes(world, numbered)
    generations = None if supplement is None else supplement.generations
    if generations is not None and len(generations) != len(nodes):
        reason = f"generations of {len(generations)} nodes, the stream has {len(nodes)}"
        raise StateError("the supplement", reason)
    for path, _ in tuple(world.tree.items()):
        if path not in nodes and path.startswith("/"):
            world.tree.remove(path)
    for number, (path, node) in enumerate(nodes.items()):
        if path.startswith("@") and not world.compat.special_nodes:
            generation = 0 if generations is None else generations[number]
            world.tree.set_special(path, node.with_generation(generation))
            continue
        if generations is not None:
            world.tree.generation = generations[number] - 1
        world.tree.put(path, node)
    if supplement is not None:
        world.tree.generation = supplement.generation


def _saved_nodes(world: World, numbered: _Numbered) -> dict[NodePath, Node]:
    """Those of the store, with their children, in the order of the stream. Raises: StateError."""
    root = world.tree.get(ROOT)
    assert root is not None, "every tree has a root"
    # Who receives a stream has a root; the stream's own takes its place.
    nodes: dict[NodePath, Node] = {ROOT: Node(root.value, root.perms, ignored=root.ignored)}
    names: dict[NodePath, list[str]] = {ROOT: []}
    roots = 0
    made = Nodes()
    for number, record in numbered:
        if not isinstance(record, NodeData) or record.conn_id:
            continue
        where = _where(number, record)
        path = node_path(record.path, where)
        if path in nodes and (path != ROOT or roots):
            raise StateError(where, f"a second node {path}")
        roots += path == ROOT
        if path != ROOT and not path.startswith("@"):
            above = parent(path)
            if above not in nodes:
                raise StateError(where, f"{path} comes before its parent, or has none")
            names.setdefault(above, []).append(base_name(AbsolutePath(path)))
        nodes[path] = made.node_of(record, where)
    for path, children in names.items():
        node = nodes[path]
        listed = "".join(f"{name}\0" for name in children).encode("ascii")
        nodes[path] = Node(node.value, node.perms, listed, ignored=node.ignored)
    return nodes
