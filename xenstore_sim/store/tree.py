"""All nodes, by their whole path, and what is counted about them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from xenstore_sim.store.node import Node
from xenstore_sim.wire.names import (
    DOM0,
    DOMID_ANY,
    INTRODUCE_DOMAIN,
    RELEASE_DOMAIN,
    ROOT,
    DomId,
    NodePath,
    absolute_path,
    base_name,
    child,
    parent,
)
from xenstore_sim.wire.perms import Access, NodePerms, Perm

_NOTHING_BUT_DOM0: Final = NodePerms((Perm(DOM0, Access.NONE),))


class Tree:
    """A table rather than linked nodes: a lookup costs the same at any depth, and a transaction
    holds the nodes it touched by the same key."""

    __slots__ = ("_nodes", "_owned", "generation")

    def __init__(self, *, anyone_sees_release: bool) -> None:
        """The store of a fresh daemon. anyone_sees_release: @releaseDomain is for all domains."""
        self._nodes: dict[NodePath, Node] = {}
        self._owned: dict[DomId, int] = {}
        self.generation = 0
        """Counts writes of nodes; what was written later has a greater one. 64 bits on Xen."""
        tool = absolute_path("/tool")
        daemon = child(tool, "xenstored")
        release = Perm(DOMID_ANY, Access.READ)
        self.put(ROOT, Node(b"", _NOTHING_BUT_DOM0).with_child("tool"))
        self.put(tool, Node(b"", _NOTHING_BUT_DOM0).with_child(base_name(daemon)))
        self.put(daemon, Node(b"", _NOTHING_BUT_DOM0))
        self.put(INTRODUCE_DOMAIN, Node(b"", _NOTHING_BUT_DOM0))
        seen = (*_NOTHING_BUT_DOM0.entries, release) if anyone_sees_release else None
        self.put(RELEASE_DOMAIN, Node(b"", NodePerms(seen) if seen else _NOTHING_BUT_DOM0))

    def get(self, path: NodePath) -> Node | None:
        """The node at this path."""
        return self._nodes.get(path)

    def generation_of(self, path: NodePath) -> int | None:
        """The generation of the node at this path; None: there is none."""
        node = self._nodes.get(path)
        return None if node is None else node.generation

    def put(self, path: NodePath, node: Node) -> None:
        """Set or make the node. Its parent's list of children is the caller's."""
        self.generation += 1
        self._disown(self._nodes.get(path))
        self._nodes[path] = replace(node, generation=self.generation)
        owner = node.perms.owner
        self._owned[owner] = self._owned.get(owner, 0) + 1

    def remove(self, path: NodePath) -> None:
        """Drop the node; nothing happens where there is none."""
        self._disown(self._nodes.pop(path, None))

    def owned(self, domid: DomId) -> int:
        """How many nodes this domain owns."""
        return self._owned.get(domid, 0)

    def most_owned(self) -> int:
        """How many nodes the domain owns that owns most, dom0 apart."""
        return max((count for domid, count in self._owned.items() if domid != DOM0), default=0)

    def items(self) -> Iterator[tuple[NodePath, Node]]:
        """Every node with its path, the special ones too."""
        return iter(self._nodes.items())

    def __len__(self) -> int:
        return len(self._nodes)

    def inconsistencies(self) -> tuple[str, ...]:
        """What is wrong with the tree, one line each; nothing unless this program is."""
        stored = {absolute_path(path) for path in self._nodes if path.startswith("/")}
        listed = {child(path, name) for path in stored for name in self._nodes[path].child_names}
        return (
            *(f"{path} is listed by {parent(path)} and missing" for path in listed - stored),
            *(
                f"{path} exists and {parent(path)} does not list it"
                for path in stored - listed - {ROOT}
            ),
        )

    def _disown(self, node: Node | None) -> None:
        if node is None:
            return
        owner = node.perms.owner
        left = self._owned[owner] - 1
        if left:
            self._owned[owner] = left
        else:
            del self._owned[owner]
