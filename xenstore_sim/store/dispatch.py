"""From a packet to its answer: the table of operations, and the order of the common checks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from xenstore_sim.store import domain_ops, node_ops, session_ops, shortcuts
from xenstore_sim.store.call import Call, Deferred, World
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.control import control
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.layout import HEADER, HEADER_SIZE, PAYLOAD_MAX, Packet
from xenstore_sim.wire.messages import Reply
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.payloads import decode_request, encode_reply


@dataclass(frozen=True, slots=True)
class _Row:
    """One operation."""

    op: Op
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
    row.op: row
    for row in (
        _Row(Op.DIRECTORY, node_ops.directory, short=shortcuts.directory),
        _Row(Op.DIRECTORY_PART, node_ops.directory_part),
        _Row(Op.READ, node_ops.read, short=shortcuts.read),
        _Row(Op.GET_PERMS, node_ops.get_perms, short=shortcuts.get_perms),
        _Row(Op.WRITE, node_ops.write, short=shortcuts.write),
        _Row(Op.MKDIR, node_ops.mkdir, short=shortcuts.mkdir),
        _Row(Op.RM, node_ops.rm, short=shortcuts.rm),
        _Row(Op.SET_PERMS, node_ops.set_perms),
        _Row(Op.WATCH, session_ops.watch, ignores_tx=True),
        _Row(Op.UNWATCH, session_ops.unwatch, ignores_tx=True),
        _Row(Op.RESET_WATCHES, session_ops.reset_watches),
        _Row(
            Op.TRANSACTION_START, session_ops.transaction_start, short=shortcuts.transaction_start
        ),
        _Row(Op.TRANSACTION_END, session_ops.transaction_end, short=shortcuts.transaction_end),
        _Row(Op.INTRODUCE, domain_ops.introduce, privileged=True),
        _Row(Op.RELEASE, domain_ops.release, privileged=True),
        _Row(Op.RESUME, domain_ops.resume, privileged=True),
        _Row(Op.IS_DOMAIN_INTRODUCED, domain_ops.is_domain_introduced, privileged=True),
        _Row(Op.SET_TARGET, domain_ops.set_target, privileged=True),
        _Row(Op.GET_DOMAIN_PATH, domain_ops.get_domain_path),
        _Row(Op.CONTROL, control, privileged=True),
        _Row(Op.GET_FEATURE, domain_ops.get_feature),
        _Row(Op.SET_FEATURE, domain_ops.set_feature, privileged=True),
        _Row(Op.GET_QUOTA, domain_ops.get_quota, privileged=True),
        _Row(Op.SET_QUOTA, domain_ops.set_quota, privileged=True),
    )
}
_SHORT: Final = {number: row.short for number, row in _ROWS.items() if row.short is not None}


def reply_at_once(world: World, conn: Connection, request: bytes) -> bytes | None:
    """The reply to one whole request of dom0 in its usual form; None: nothing is done.

    Empty: the reply waits in the outbox, behind events of its own making.
    """
    if (
        not conn.identity.privileged
        or conn.outbox.waiting
        or conn.decoder.buffered
        or conn.held
        or world.log.io
        or world.notifier.deaf
        or len(request) < HEADER_SIZE
    ):
        return None
    type_, req_id, tx_id, length = HEADER.unpack_from(request)
    short = _SHORT.get(type_)
    if short is None or len(request) != HEADER_SIZE + length or length > PAYLOAD_MAX:
        return None
    transaction = None
    if tx_id and (transaction := conn.transactions.get(tx_id)) is None:
        return None
    call = Call(world, conn, tx_id, req_id, transaction, transaction or world.direct)
    try:
        payload = short(call, request[HEADER_SIZE:])
        if payload is None or len(payload) > PAYLOAD_MAX:
            return None
        world.counters.requests[type_] += 1
    except Refusal as refusal:
        world.counters.requests[type_] += 1
        world.counters.refused(refusal.errno)
        type_, payload = Op.ERROR, f"{refusal.errno}\0".encode("ascii")
    reply = HEADER.pack(type_, req_id, tx_id, len(payload)) + payload
    if conn.outbox.waiting:
        conn.outbox.put_reply(reply)
        return b""
    return reply


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
        row = _ROWS.get(type_)
        if row is None or type_ not in world.compat.ops:
            raise Refusal(Errno.ENOSYS)
        world.counters.requests[type_] += 1
        if row.privileged and not conn.identity.privileged:
            raise Refusal(Errno.EACCES)
        transaction = None
        if tx_id and not row.ignores_tx:
            transaction = conn.transactions.get(tx_id)
            if transaction is None:
                raise Refusal(Errno.ENOENT)
        call = Call(world, conn, tx_id, req_id, transaction, transaction or world.direct)
        payload = row.short(call, asked) if row.short is not None else None
        if payload is None:
            request = decode_request(row.op, asked, world.compat)
            payload = encode_reply(row.handle(call, request))
        if len(payload) > PAYLOAD_MAX:
            raise Refusal(Errno.E2BIG)
    except Refusal as refusal:
        world.counters.refused(refusal.errno)
        type_, payload = Op.ERROR, f"{refusal.errno}\0".encode("ascii")
    except Deferred:
        conn.held = True
        return
    if logged:
        world.log.message(conn, "<", Packet(type_, req_id, tx_id, payload))
    reply = HEADER.pack(type_, req_id, tx_id, len(payload)) + payload
    conn.outbox.put_reply(reply, notifier.unfinished)
    notifier.asker = notifier.unfinished = None
    if call is not None and call.first_event is not None:
        event = call.first_event
        notifier.first_event(conn, event.path, event.token)
