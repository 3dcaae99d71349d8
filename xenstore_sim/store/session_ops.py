"""Operations on the connection itself: watches and transactions.

Source: docs/misc/xenstore.txt; C xenstored for which error comes first.
"""

from functools import partial

from xenstore_sim.store.call import Call, World
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.memory import grow
from xenstore_sim.store.transactions import Transaction
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.names import DomId, NodePath, TxId, home
from xenstore_sim.wire.ops import Errno


def watch(call: Call, request: m.Watch) -> m.Reply:
    """WATCH: the path need not exist, nor be readable."""
    path = call.any_path(request.path)
    watches, conn = call.world.watches, call.conn.id
    if watches.has(conn, path, request.token):
        raise Refusal(Errno.EEXIST)
    count = watches.count(conn) + 1
    if not call.who.privileged and call.world.quota_rules.too_many_open(count, call.quotas.watches):
        raise Refusal(call.world.compat.watch_quota_errno)
    grow(call.world, call.who.domid, len(path) + len(request.token))
    call.conn.account.note("watches", count)
    watches.add(conn, path, request.token, _home_length(call, request.path, path), request.depth)
    call.first_event = m.WatchEvent(request.path, request.token)
    return m.Ok()


def unwatch(call: Call, request: m.Unwatch) -> m.Reply:
    """UNWATCH: a relative watch can be named by its absolute path too."""
    try:
        path = call.any_path(request.path)
    except Refusal as refusal:
        if call.world.compat.unwatch_checks_path:
            raise
        raise Refusal(Errno.ENOENT) from refusal
    call.world.watches.remove(call.conn.id, path, request.token)
    return m.Ok()


def reset_watches(call: Call, request: m.ResetWatches) -> m.Reply:
    """RESET_WATCHES: events that wait already still arrive."""
    call.world.watches.drop_connection(call.conn.id)
    call.conn.transactions.clear()
    return m.Ok()


def transaction_start(call: Call, request: m.TransactionStart) -> m.Reply:
    """TRANSACTION_START."""
    return m.Text(str(begin(call)))


def begin(call: Call) -> TxId:
    """The id of a new transaction. Raises: Refusal."""
    if call.transaction is not None:
        raise Refusal(Errno.EBUSY)
    if not call.who.privileged:
        rules, quotas = call.world.quota_rules, call.quotas
        count = len(call.conn.transactions) + 1
        if rules.too_many_open(count, quotas.transactions):
            raise Refusal(Errno.ENOSPC)
        call.conn.account.note("transactions", count)
    return call.conn.transactions.add(fresh_transaction(call.world, call.conn))


def fresh_transaction(world: World, conn: Connection) -> Transaction:
    """One for this connection, which has touched nothing."""
    if conn.identity.privileged:
        return Transaction(world.tree, conn.account, None)
    # Asked each time: the quota may change meanwhile.
    most_accessed = partial(_most_accessed, world, conn.identity.domid)
    return Transaction(world.tree, conn.account, most_accessed)


def _most_accessed(world: World, domid: DomId) -> int | None:
    return world.quota_rules.most(world.quotas_of(domid).transaction_nodes)


def transaction_end(call: Call, request: m.TransactionEnd) -> m.Reply:
    """TRANSACTION_END: whatever it answers, but for a malformed request, the id is gone."""
    end(call, commit=request.commit)
    return m.Ok()


def end(call: Call, *, commit: bool) -> None:
    """Commit the transaction of the call, or drop it. Raises: Refusal."""
    transaction = call.transaction
    if transaction is None:
        raise Refusal(Errno.ENOENT)
    call.conn.transactions.end(call.tx_id)
    if commit:
        _commit(call, transaction)


def _commit(call: Call, transaction: Transaction) -> None:
    if transaction.poisoned:
        raise Refusal(Errno.ENOMEM)
    if not call.who.privileged:
        for domid in transaction.gained():
            bound = call.world.quotas_of(domid).nodes
            if call.world.quota_rules.too_many(transaction.owned(domid), bound):
                raise Refusal(Errno.ENOSPC)
    if not transaction.commit(call.world.notifier.node_changed):
        call.world.counters.conflicts += 1
        raise Refusal(Errno.EAGAIN)


def _home_length(call: Call, text: str, path: NodePath) -> int:
    """Characters of the home prefix that the client left out."""
    return 0 if text == path else len(home(call.who.domid)) + 1
