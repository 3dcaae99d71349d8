"""Operations on nodes: READ, WRITE, MKDIR, RM, DIRECTORY, DIRECTORY_PART and permissions.

Source: docs/misc/xenstore.txt; C xenstored for which error comes first.
"""

from xenstore_sim.store.access import OWNER, READ, WRITE
from xenstore_sim.store.call import Call
from xenstore_sim.store.memory import grow
from xenstore_sim.store.node import Node
from xenstore_sim.store.subtree import remove_subtree
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.layout import PAYLOAD_MAX
from xenstore_sim.wire.names import (
    DOM0,
    DOMID_ANY,
    ROOT,
    AbsolutePath,
    DomId,
    NodePath,
    SpecialPath,
    base_name,
    parent,
)
from xenstore_sim.wire.ops import Errno
from xenstore_sim.wire.payloads import perms_of
from xenstore_sim.wire.perms import NodePerms


def read(call: Call, request: m.Read) -> m.Reply:
    """READ."""
    return m.Value(_node(call, call.path(request.path), READ).value)


def directory(call: Call, request: m.Directory) -> m.Reply:
    """DIRECTORY."""
    return m.Listing(_node(call, call.path(request.path), READ).children)


def directory_part(call: Call, request: m.DirectoryPart) -> m.Reply:
    """DIRECTORY_PART: as many whole names as fit, the end marked by a NUL of its own."""
    node = _node(call, call.path(request.path), READ)
    generation = str(node.generation)
    rest = node.children[request.offset :]
    room = PAYLOAD_MAX - len(generation) - 2
    if len(rest) <= room:
        return m.ListingPart(generation, rest, last=True)
    return m.ListingPart(generation, rest[: rest.rfind(b"\0", 0, room) + 1], last=False)


def get_perms(call: Call, request: m.GetPerms) -> m.Reply:
    """GET_PERMS; the special nodes have permissions too."""
    path = call.any_path(request.path) if call.world.compat.special_nodes else None
    return m.PermsReply(_node(call, path or call.path(request.path), READ).perms)


def write(call: Call, request: m.Write) -> m.Reply:
    """WRITE: an existing node keeps its permissions and children."""
    path = call.path(request.path)
    node = _node_or_none(call, path, WRITE)
    if node is None:
        _create(call, path, request.value)
        call.view.changed(path)
    else:
        set_value(call, path, node, request.value)
    return m.Ok()


def set_value(call: Call, path: AbsolutePath, node: Node, value: bytes) -> None:
    """WRITE, where the node is there and the client may write it. Raises: Refusal."""
    changed = node.with_value(value)
    _check_size(call, changed)
    grow(call.world, node.perms.owner, len(value) - len(node.value))
    call.view.put(path, _fresh(call, changed))
    call.view.changed(path)


def mkdir(call: Call, request: m.Mkdir) -> m.Reply:
    """MKDIR: an existing node stays as it is, but whoever asks must be able to write it."""
    make(call, call.path(request.path))
    return m.Ok()


def make(call: Call, path: AbsolutePath) -> None:
    """MKDIR, where the path is one. Raises: Refusal."""
    if _node_or_none(call, path, WRITE) is None:
        _create(call, path, b"")
        call.view.changed(path)


def rm(call: Call, request: m.Rm) -> m.Reply:
    """RM: permission on the node itself is enough, whoever owns what is below."""
    path = call.path(request.path)
    if _node_or_none(call, path, WRITE) is not None:
        remove(call, path)
    elif call.view.get(parent(path)) is None:
        raise Refusal(Errno.ENOENT)
    return m.Ok()


def remove(call: Call, path: AbsolutePath) -> None:
    """RM, where the node is there and the client may write it. Raises: Refusal."""
    if path == ROOT:
        raise Refusal(Errno.EINVAL)
    above = parent(path)
    directory = call.view.get(above)
    # Both are for transactions, whose copies of a node and of the one above may be of two times.
    if directory is None:
        raise Refusal(Errno.EINVAL)
    smaller = directory.without_child(base_name(path))
    if smaller is directory:
        raise Refusal(Errno.EIO)
    remove_subtree(call.view, path)
    call.view.put(above, _fresh(call, smaller))


def set_perms(call: Call, request: m.SetPerms) -> m.Reply:
    """SET_PERMS; entries for unknown domains are kept and count for nobody."""
    world = call.world
    if not call.who.privileged:
        call.conn.account.note("node-permissions", len(request.entries))
        bound = call.quotas.node_permissions
        if world.quota_rules.too_many(len(request.entries), bound):
            raise Refusal(Errno.ENOSPC)
    perms = perms_of(request.entries)
    if not _exists(call, perms.owner):
        raise Refusal(Errno.ENOENT)
    ignored = frozenset(each.domid for each in perms.exceptions if not _exists(call, each.domid))
    if request.path.startswith("@") and not world.compat.special_nodes:
        return _set_special_perms(call, request.path, perms, ignored)
    path = call.any_path(request.path)
    node = _node(call, path, WRITE | OWNER)
    if not call.who.privileged and perms.owner != node.perms.owner:
        raise Refusal(Errno.EPERM)
    changed = node.with_perms(perms, ignored)
    _check_size(call, changed)
    given = perms.owner != node.perms.owner
    more = world.tree.memory(path, changed) if given else changed.size - node.size
    grow(world, perms.owner, more)
    call.view.put(path, changed)
    call.view.changed(path, before=node)
    return m.Ok()


def _set_special_perms(
    call: Call, path: str, perms: NodePerms, ignored: frozenset[DomId]
) -> m.Reply:
    """SET_PERMS of 4.17 on what is no node to it."""
    tree, need = call.world.tree, WRITE | OWNER
    node = tree.get(SpecialPath(path))
    if node is None:
        raise Refusal(Errno.EINVAL)
    if call.world.rules.rights(node, call.who) & need != need:
        raise Refusal(Errno.EACCES)
    tree.set_special(SpecialPath(path), node.with_perms(perms, ignored))
    return m.Ok()


# ---------------------------------------------------------------- finding


def _node(call: Call, path: NodePath, need: int) -> Node:
    """The node, if the caller has all of `need` on it. Raises: Refusal, EACCES or ENOENT."""
    node = _node_or_none(call, path, need)
    if node is None:
        raise Refusal(Errno.ENOENT)
    return node


def _node_or_none(call: Call, path: NodePath, need: int) -> Node | None:
    """The node; None: it is missing, and the caller may know that and make it.

    Whether someone may know what is missing is for the nearest node above to say, and even for
    the privileged that look-up is an access of the transaction. Raises: Refusal, EACCES.
    """
    node = call.view.get(path)
    if node is not None:
        if not call.who.privileged and call.world.rules.rights(node, call.who) & need != need:
            # C asks the parent too, and that is an access of the transaction.
            call.view.get(parent(path))
            raise Refusal(Errno.EACCES)
        return node
    at = path
    while node is None:
        assert at != ROOT, "the root is always there"
        at = parent(at)
        node = call.view.get(at)
    if not call.world.rules.rights(node, call.who) & need:
        raise Refusal(Errno.EACCES)
    return None


def _exists(call: Call, domid: DomId) -> bool:
    """Whether the hypervisor has the domain; the daemon knows it from now on."""
    world = call.world
    if domid == 0 or (world.compat.any_domain and domid == DOMID_ANY):
        return True
    return world.domains.know(domid, world.tree.generation, world.quotas) is not None


# ---------------------------------------------------------------- changing


def _fresh(call: Call, node: Node) -> Node:
    """The node, ready to be written: its new generation would make stale entries count again."""
    if len(node.perms.entries) == 1:
        return node
    stale = call.world.rules.stale_entries(node)
    return node if stale == node.ignored else node.with_ignored(stale)


def _create(call: Call, path: AbsolutePath, value: bytes) -> None:
    """Make a missing node and the missing ones above it; everything is checked before."""
    missing = [path]
    at = parent(path)
    while (above := call.view.get(at)) is None:
        missing.append(at)
        at = parent(at)
    _check_count(call, len(missing))
    above = _fresh(call, above)
    perms = _inherited(call, above.perms)
    changed = [(at, above.with_child(base_name(missing[-1])))]
    for index in range(len(missing) - 1, 0, -1):
        node = Node(b"", perms, ignored=above.ignored)
        changed.append((missing[index], node.with_child(base_name(missing[index - 1]))))
    changed.append((path, Node(value, perms, ignored=above.ignored)))
    if not call.who.privileged:
        for _, node in changed:
            _check_size(call, node)
    if perms.owner != DOM0 or above.perms.owner != DOM0:
        _grow_by(call, above, changed)
    for at, node in changed:
        call.view.put(at, node)


def _grow_by(call: Call, above: Node, changed: list[tuple[AbsolutePath, Node]]) -> None:
    """Charge the owners. above: the first of the changed nodes before; the others are new."""
    world, errno = call.world, call.world.compat.create_memory_errno
    listed = changed[0][1].size - above.size
    more = sum(world.tree.memory(at, node) for at, node in changed[1:])
    owner = changed[-1][1].perms.owner
    if owner == above.perms.owner:
        grow(world, owner, more + listed, errno)
    else:
        grow(world, above.perms.owner, listed, errno)
        grow(world, owner, more, errno)


def _inherited(call: Call, perms: NodePerms) -> NodePerms:
    """The list of a new node: its parent's, but the unprivileged own what they make."""
    return perms if call.who.privileged else perms.owned_by(call.who.domid)


def _check_count(call: Call, more: int) -> None:
    if call.who.privileged:
        return
    used = call.view.owned(call.who.domid)
    rules, bound = call.world.quota_rules, call.quotas.nodes
    if rules.too_many(used + more, bound):
        if not rules.too_many(used + 1, bound):
            # Part of the path is made by then, and stays in the transaction.
            call.view.poison()
        raise Refusal(Errno.ENOSPC)


def _check_size(call: Call, node: Node) -> None:
    if call.who.privileged:
        return
    rules = call.world.quota_rules
    size = rules.node_size(node.size)
    call.conn.account.note("node-size", size)
    if rules.too_large(size, call.quotas.node_size):
        call.view.poison()
        raise Refusal(Errno.ENOSPC)
