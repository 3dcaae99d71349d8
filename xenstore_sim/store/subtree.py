"""Removal of a node with all below it, whoever owns that."""

from xenstore_sim.store.view import View
from xenstore_sim.wire.names import AbsolutePath, child


def remove_subtree(view: View, path: AbsolutePath) -> None:
    """Remove the node at `path` after everything below it; its parent's list is the caller's.

    The watches on a descendant learn of its own end, those above only of that of `path`.
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
    node = view.get(path)
    assert node is not None, f"{path} is listed and missing"
    return node.child_names[::-1]
