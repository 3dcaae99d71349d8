"""What an operation on nodes works with: the store itself, or a transaction's view of it."""

from typing import Protocol

from xenstore_sim.store.node import Node
from xenstore_sim.store.notifier import Notifier
from xenstore_sim.store.tree import Tree
from xenstore_sim.wire.names import DomId, NodePath


class View(Protocol):
    """Nodes to read and change."""

    def get(self, path: NodePath) -> Node | None:
        """The node, as this view has it. Raises: Refusal when a transaction grows too large."""

    def put(self, path: NodePath, node: Node) -> None:
        """Set or make a node that `get` was asked for before."""

    def remove(self, path: NodePath) -> None:
        """Drop a node that `get` was asked for before."""

    def changed(self, path: NodePath, *, exact: bool = False, before: Node | None = None) -> None:
        """Tell the watches of a change; of a removal, ahead of it.

        exact: only watches on this very path. before: the node with its former permissions.
        """

    def owned(self, domid: DomId) -> int:
        """How many nodes this domain owns."""

    def poison(self) -> None:
        """A request failed half done; what cannot be undone must not be committed."""


class DirectView:
    """The store itself: changes are seen at once, and so are their events."""

    __slots__ = ("changed", "get", "owned", "put", "remove")

    def __init__(self, tree: Tree, notifier: Notifier) -> None:
        self.changed = notifier.node_changed
        self.get = tree.get
        self.put = tree.put
        self.remove = tree.remove
        self.owned = tree.owned

    def poison(self) -> None:
        """Nothing: outside transactions, operations check everything before they change any."""
