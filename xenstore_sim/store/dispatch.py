"""From a packet to its answer: the table of operations, and the order of the common checks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from xenstore_sim.store import domain_ops, node_ops, session_ops, shortcuts
from xenstore_sim.store.call import Call, World
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.control import control
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.layout import PAYLOAD_MAX, Packet, encode_packet
from xenstore_sim.wire.messages import Reply
from xenstore_sim.wire.names import NO_TX, ReqId, TxId
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.payloads import decode_request, encode_reply


@dataclass(frozen=True, slots=True)
class _Row:
    """One operation."""

    handle: Callable[[Call, Any], Reply]
    """Any: each takes the request class that `decode_request` makes for its op."""
    privileged: bool = False
    """For dom0 alone."""
    ignores_tx: bool = False
    """Does not look at the transaction id."""
    short: Callable[[Call, bytes], bytes | None] | None = None
    """Answers the usual form of it from payload to payload; None from it: it did nothing."""


# Looked up by the number on the wire, which need not be an op at all.
_ROWS: Final[dict[int, _Row]] = {
    Op.DIRECTORY: _Row(node_ops.directory, short=shortcuts.directory),
    Op.DIRECTORY_PART: _Row(node_ops.directory_part),
    Op.READ: _Row(node_ops.read, short=shortcuts.read),
    Op.GET_PERMS: _Row(node_ops.get_perms, short=shortcuts.get_perms),
    Op.WRITE: _Row(node_ops.write, short=shortcuts.write),
    Op.MKDIR: _Row(node_ops.mkdir),
    Op.RM: _Row(node_ops.rm),
    Op.SET_PERMS: _Row(node_ops.set_perms),
    Op.WATCH: _Row(session_ops.watch, ignores_tx=True),
    Op.UNWATCH: _Row(session_ops.unwatch, ignores_tx=True),
    Op.RESET_WATCHES: _Row(session_ops.reset_watches),
    Op.TRANSACTION_START: _Row(session_ops.transaction_start, short=shortcuts.transaction_start),
    Op.TRANSACTION_END: _Row(session_ops.transaction_end, short=shortcuts.transaction_end),
    Op.INTRODUCE: _Row(domain_ops.introduce, privileged=True),
    Op.RELEASE: _Row(domain_ops.release, privileged=True),
    Op.RESUME: _Row(domain_ops.resume, privileged=True),
    Op.IS_DOMAIN_INTRODUCED: _Row(domain_ops.is_domain_introduced, privileged=True),
    Op.SET_TARGET: _Row(domain_ops.set_target, privileged=True),
    Op.GET_DOMAIN_PATH: _Row(domain_ops.get_domain_path),
    Op.CONTROL: _Row(control, privileged=True),
    Op.GET_FEATURE: _Row(domain_ops.get_feature),
    Op.SET_FEATURE: _Row(domain_ops.set_feature, privileged=True),
    Op.GET_QUOTA: _Row(domain_ops.get_quota, privileged=True),
    Op.SET_QUOTA: _Row(domain_ops.set_quota, privileged=True),
}


def answer(world: World, conn: Connection, packet: Packet) -> None:
    """Do what the packet asks; its events and then its reply are in the outboxes after that."""
    type_, req_id, tx_id, asked = packet
    call: Call | None = None
    notifier = world.notifier
    notifier.asker = None if conn.identity.privileged else conn.outbox
    logged = world.log.io
    if logged:
        world.log.message(conn, ">", packet)
    try:
        row = _row(world, conn, type_)
        call = _call(world, conn, tx_id, req_id, row)
        payload = row.short(call, asked) if row.short is not None else None
        if payload is None:
            request = decode_request(Op(type_), asked, world.compat)
            payload = encode_reply(row.handle(call, request))
        if len(payload) > PAYLOAD_MAX:
            raise Refusal(Errno.E2BIG)
    except Refusal as refusal:
        world.counters.refusals += 1
        type_, payload = Op.ERROR, f"{refusal.errno}\0".encode("ascii")
    if logged:
        world.log.message(conn, "<", Packet(type_, req_id, tx_id, payload))
    conn.outbox.put_reply(encode_packet(type_, req_id, tx_id, payload), notifier.unfinished)
    notifier.asker = notifier.unfinished = None
    if call is not None and call.first_event is not None:
        event = call.first_event
        notifier.first_event(conn, event.path, event.token)


def _row(world: World, conn: Connection, type_: int) -> _Row:
    row = _ROWS.get(type_)
    if row is None or type_ not in world.compat.ops:
        raise Refusal(Errno.ENOSYS)
    world.counters.requests[type_] += 1
    if row.privileged and not conn.identity.privileged:
        raise Refusal(Errno.EACCES)
    return row


def _call(world: World, conn: Connection, tx_id: TxId, req_id: ReqId, row: _Row) -> Call:
    if tx_id == NO_TX or row.ignores_tx:
        return Call(world, conn, tx_id, req_id, None, world.direct)
    transaction = conn.transactions.get(tx_id)
    if transaction is None:
        raise Refusal(Errno.ENOENT)
    return Call(world, conn, tx_id, req_id, transaction, transaction)
