"""Removal of a node with all below it, whoever owns that."""

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
    # By hand, not by recursion: a path has room for more levels than Python's stack.
    walk = [(path, _children(view, path))]
    while walk:
        at, names = walk[-1]
        if names:
            below = child(at, names.pop())
            walk.append((below, _children(view, below)))
        else:
            walk.pop()
            view.changed(at, exact=at != path, before=view.get(at))
            view.remove(at)


def _children(view: View, path: AbsolutePath) -> list[str]:
    """Names of the children, the first one last."""
    try:
        node = view.get(path)
    except Refusal as refusal:
        raise Refusal(Errno.EIO) from refusal
    if node is None:
        raise Refusal(Errno.EIO)
    return node.child_names[::-1]
