"""The commonest requests in their usual form, from payload to payload without a message between.

Each either answers what `decode_request`, its handler and `encode_reply` answer, or does nothing
and leaves the request to them; a test plays conversations both ways. A path needs no check here:
that a node has it says that it is one.
"""

from xenstore_sim.store import node_ops, session_ops
from xenstore_sim.store.access import READ, WRITE
from xenstore_sim.store.call import Call
from xenstore_sim.store.node import Node
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.errors import InvalidPath
from xenstore_sim.wire.names import AbsolutePath, absolute_path
from xenstore_sim.wire.payloads import OK, encode_reply
from xenstore_sim.wire.strings import ENCODING


def read(call: Call, payload: bytes) -> bytes | None:
    """READ of a node that the client may read."""
    node = _readable(call, payload)
    return None if node is None else node.value


def directory(call: Call, payload: bytes) -> bytes | None:
    """DIRECTORY of a node that the client may read."""
    node = _readable(call, payload)
    return None if node is None else node.children


def get_perms(call: Call, payload: bytes) -> bytes | None:
    """GET_PERMS of a node that the client may read."""
    node = _readable(call, payload)
    return None if node is None else encode_reply(m.PermsReply(node.perms))


def write(call: Call, payload: bytes) -> bytes | None:
    """WRITE to a node that is there and that the client may write."""
    text, nul, value = payload.partition(b"\0")
    path = AbsolutePath(text.decode(ENCODING))
    node = _node(call, path, WRITE) if nul else None
    if node is None:
        return None
    node_ops.set_value(call, path, node, value)
    return OK


def mkdir(call: Call, payload: bytes) -> bytes | None:
    """MKDIR of an absolute path."""
    if not payload.endswith(b"\0"):
        return None
    try:
        path = absolute_path(payload[:-1].decode(ENCODING))
    except InvalidPath:
        return None
    if call.is_too_long(path):
        return None
    node_ops.make(call, path)
    return OK


def rm(call: Call, payload: bytes) -> bytes | None:
    """RM of a node that is there and that the client may write."""
    if not payload.endswith(b"\0"):
        return None
    path = AbsolutePath(payload[:-1].decode(ENCODING))
    if _node(call, path, WRITE) is None:
        return None
    node_ops.remove(call, path)
    return OK


def transaction_start(call: Call, payload: bytes) -> bytes | None:
    """TRANSACTION_START, whatever it carries."""
    return b"%d\0" % session_ops.begin(call)


def transaction_end(call: Call, payload: bytes) -> bytes | None:
    """TRANSACTION_END, well-formed."""
    if payload not in (b"T\0", b"F\0"):
        return None
    session_ops.end(call, commit=payload == b"T\0")
    return OK


def _readable(call: Call, payload: bytes) -> Node | None:
    if payload.endswith(b"\0"):
        return _node(call, AbsolutePath(payload[:-1].decode(ENCODING)), READ)
    return None


def _node(call: Call, path: AbsolutePath, need: int) -> Node | None:
    """The node of this path, if the store has it and the client has the right `need` on it.

    path: as written; it may be none. Raises: Refusal, where a transaction has its fill of nodes.
    """
    # What only the transaction has goes the long way: to ask it is an access already.
    if call.world.tree.get(path) is None or not path.startswith("/") or call.is_too_long(path):
        return None
    node = call.view.get(path)
    who = call.conn.identity
    if node is None or who.privileged or call.world.rules.rights(node, who) & need:
        return node
    return None
