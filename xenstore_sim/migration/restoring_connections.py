"""Connections go on in another daemon: what is under way on them, watches, transactions.

Source: docs/designs/xenstore-migration.md of Xen.
"""

from collections.abc import Iterable, Mapping

from xenstore_sim.migration.errors import StateError
from xenstore_sim.migration.records import (
    ConnectionData,
    NodeData,
    Record,
    RingEnd,
    SocketEnd,
    TransactionData,
    WatchData,
)
from xenstore_sim.migration.restoring import Nodes, node_path
from xenstore_sim.migration.supplement import (
    AccessState,
    ConnectionState,
    Supplement,
    TransactionState,
)
from xenstore_sim.store.access import Identity
from xenstore_sim.store.call import World
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.node import Node
from xenstore_sim.store.outbox import EVENT_BYTES_TOLD, Unfinished
from xenstore_sim.store.session_ops import fresh_transaction
from xenstore_sim.store.transactions import UNCOMMITTED, Access
from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.errors import InvalidPath, InvalidPerms, ProtocolViolation
from xenstore_sim.wire.layout import Packet, encode_packet
from xenstore_sim.wire.names import DOM0, NodePath, TxId, home, resolve
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.perms import NodePerms


def restore_connections(world: World, records: Iterable[Record], supplement: Supplement) -> None:
    """Let a world whose store is restored have these connections too. Raises: StateError."""
    records = tuple(records)
    states = {state.conn_id: state for state in supplement.connections}
    saved = {
        record.conn_id: record
        for record in records
        if isinstance(record, ConnectionData) and record.conn_id in states
    }
    for conn_id, state in states.items():
        if conn_id not in saved:
            raise StateError("the supplement", f"connection {conn_id} is not in the stream")
        _connect(world, saved[conn_id], state)
    requests = _requests(world, supplement)
    replied: set[int] = set()
    for conn_id, state in states.items():
        replied |= _fill(world.connections[ConnId(conn_id)], saved[conn_id], state, requests)
    for number, request in requests.items():
        if number not in replied:
            # Its reply is taken, and events that it caused still wait.
            request.asker.unfinished += 1
    for record in records:
        if isinstance(record, WatchData) and record.conn_id in states:
            _watch(world, record)
    _transactions(world, records, supplement.transactions)


def _connect(world: World, record: ConnectionData, state: ConnectionState) -> None:
    domid, target = DOM0, None
    if isinstance(record.end, RingEnd):
        domid, target = record.end.domid, record.end.target
    conn = Connection(
        ConnId(record.conn_id),
        Identity(domid, target),
        world.accounts.of(domid),
        ring=state.ring,
        broken=state.broken,
    )
    conn.transactions.last = state.last_tx_id
    conn.decoder.feed(record.received)
    world.connections[conn.id] = conn
    if not isinstance(record.end, SocketEnd):
        world.by_domain[domid] = conn.id


def _requests(world: World, supplement: Supplement) -> dict[int, Unfinished]:
    requests = {}
    for number, asker in enumerate(supplement.unfinished):
        conn = world.connections.get(ConnId(asker))
        if conn is None:
            raise StateError("the supplement", f"connection {asker} asks and is not there")
        requests[number] = Unfinished(conn.outbox)
    return requests


def _fill(
    conn: Connection,
    record: ConnectionData,
    state: ConnectionState,
    requests: Mapping[int, Unfinished],
) -> set[int]:
    """Queue what waits for the client; the requests whose replies are among it."""
    causes = dict(state.causes)
    replied = set()
    unsent = len(state.sent)
    if unsent + len(record.unsent) > EVENT_BYTES_TOLD:
        # The other program told of it.
        conn.outbox.told()
    for index, packet in enumerate(_packets(record, state)):
        number = causes.get(index)
        cause = None if number is None else requests.get(number)
        data = encode_packet(*packet)
        if packet.type == Op.WATCH_EVENT:
            conn.outbox.put_event(data, packet.payload, always=True, cause=cause)
        else:
            conn.outbox.put_reply(data, cause)
            if number is not None:
                replied.add(number)
        if unsent:
            conn.outbox.take(unsent)
            unsent = 0
    return replied


def _packets(record: ConnectionData, state: ConnectionState) -> Iterable[Packet]:
    """What waits, the first one whole again."""
    where = f"connection {record.conn_id}"
    decoder = Decoder()
    decoder.feed(state.sent + record.unsent)
    try:
        while (packet := decoder.next_packet()) is not None:
            yield packet
    except ProtocolViolation as error:
        raise StateError(where, str(error)) from error
    if decoder.buffered:
        raise StateError(where, f"its output ends with {decoder.buffered} bytes of a message")


def _watch(world: World, record: WatchData) -> None:
    conn = world.connections[ConnId(record.conn_id)]
    domid = conn.identity.domid
    try:
        path = resolve(record.path, domid)
    except InvalidPath as error:
        raise StateError(f"a watch of connection {conn.id}", str(error)) from error
    home_length = 0 if record.path == path else len(home(domid)) + 1
    world.watches.add(conn.id, path, record.token, home_length, record.depth)


def _transactions(
    world: World, records: tuple[Record, ...], states: tuple[TransactionState, ...]
) -> None:
    pending: dict[tuple[int, int], list[NodeData]] = {}
    opened: list[TransactionData] = []
    for record in records:
        match record:
            case TransactionData():
                opened.append(record)
                pending[record.conn_id, record.tx_id] = []
            case NodeData(conn_id=conn_id, tx_id=tx_id) if conn_id:
                if (conn_id, tx_id) not in pending:
                    raise StateError(record.path, f"transaction {tx_id} of {conn_id} is not open")
                pending[conn_id, tx_id].append(record)
    if len(opened) != len(states):
        raise StateError("the supplement", f"{len(states)} transactions, not {len(opened)}")
    for record, state in zip(opened, states, strict=True):
        nodes = pending[record.conn_id, record.tx_id]
        _transaction(world, record, nodes, state)


def _transaction(
    world: World, record: TransactionData, nodes: list[NodeData], state: TransactionState
) -> None:
    where = f"transaction {record.tx_id} of connection {record.conn_id}"
    conn = world.connections.get(ConnId(record.conn_id))
    if conn is None or len(nodes) != len(state.accesses):
        raise StateError(where, "the supplement does not go with it")
    transaction = fresh_transaction(world, conn)
    transaction.poisoned = state.poisoned
    for node, access in zip(nodes, state.accesses, strict=True):
        path = node_path(node.path, where)
        transaction.resume(path, _access(world, path, node, access, where))
    conn.transactions.resume(TxId(record.tx_id), transaction)


def _access(
    world: World, path: NodePath, record: NodeData, state: AccessState, where: str
) -> Access:
    before = _before(world, path, state, where)
    node = None
    if record.perms:
        saved = Nodes().node_of(record, where)
        generation = UNCOMMITTED if state.modified or before is None else before.generation
        node = Node(saved.value, saved.perms, state.children, generation, saved.ignored)
    return Access(before, node, state.modified, state.told, state.exact)


def _before(world: World, path: NodePath, state: AccessState, where: str) -> Node | None:
    """The node at the first access; where it changed since, only what says so is left of it."""
    if state.before is None:
        return None
    generation, perms = state.before
    current = world.tree.get(path)
    if current is not None and current.generation == generation:
        return current
    try:
        return Node(b"", NodePerms.parse(perms), generation=generation)
    except InvalidPerms as error:
        raise StateError(where, str(error)) from error
