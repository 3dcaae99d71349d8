"""Removal of a node with all below it, whoever owns that."""

from xenstore_sim.store.node import Node
from xenstore_sim.store.view import View
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.names import AbsolutePath, child
from xenstore_sim.wire.ops import Errno


def remove_subtree(view: View, path: AbsolutePath) -> None:
    """Remove the node at `path` after everything below it; its parent's list is the caller's.

    The watches on a descendant learn of its own end, those above only of that of `path`.
    Raises: Refusal, EIO, half-way, in a transaction: it may touch no more nodes, or its copy of a
    directory lists what is gone by now. It cannot be committed then.
    """
    node = _node(view, path)
    if node.children:
        _remove_below(view, path, node)
    view.changed(path, before=node)
    view.remove(path)


def _remove_below(view: View, path: AbsolutePath, node: Node) -> None:
    # By hand, not by recursion: a path has room for more levels than Python's stack. Names are
    # taken from the end.
    walk = [(path, node, node.child_names[::-1])]
    while True:
        at, node, names = walk[-1]
        if names:
            below = child(at, names.pop())
            node = _node(view, below)
            walk.append((below, node, node.child_names[::-1]))
        elif len(walk) == 1:
            return
        else:
            walk.pop()
            view.changed(at, exact=True, before=node)
            view.remove(at)


def _node(view: View, path: AbsolutePath) -> Node:
    try:
        node = view.get(path)
    except Refusal as refusal:
        raise Refusal(Errno.EIO) from refusal
    if node is None:
        raise Refusal(Errno.EIO)
    return node
