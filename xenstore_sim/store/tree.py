"""All nodes, by their whole path, and what is counted about them."""

from collections.abc import Iterator
from typing import Final

from xenstore_sim.store.accounts import Accounts
from xenstore_sim.store.node import Node
from xenstore_sim.wire.names import (
    DOM0,
    DOMID_ANY,
    INTRODUCE_DOMAIN,
    RELEASE_DOMAIN,
    ROOT,
    AbsolutePath,
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

    __slots__ = ("_accounts", "_node_overhead", "_nodes", "generation", "get")

    def __init__(
        self,
        accounts: Accounts,
        *,
        node_overhead: int,
        anyone_sees_release: bool,
        special_nodes: bool = True,
    ) -> None:
        """The store of a fresh daemon.

        node_overhead: bytes that each node takes besides what it holds.
        anyone_sees_release: @releaseDomain is for all domains.
        special_nodes: the special ones are written like others, and count as writes.
        """
        self._nodes: dict[NodePath, Node] = {}
        self.get = self._nodes.get
        """The node at a path, or None."""
        self._accounts = accounts
        self._node_overhead = node_overhead
        self.generation = 0
        """Counts writes of nodes; what was written later has a greater one. 64 bits on Xen."""
        tool = absolute_path("/tool")
        daemon = child(tool, "xenstored")
        release = Perm(DOMID_ANY, Access.READ)
        self.put(ROOT, Node(b"", _NOTHING_BUT_DOM0).with_child("tool"))
        self.put(tool, Node(b"", _NOTHING_BUT_DOM0).with_child(base_name(daemon)))
        self.put(daemon, Node(b"", _NOTHING_BUT_DOM0))
        seen = (*_NOTHING_BUT_DOM0.entries, release) if anyone_sees_release else None
        put = self.put if special_nodes else self.set_special
        put(INTRODUCE_DOMAIN, Node(b"", _NOTHING_BUT_DOM0))
        put(RELEASE_DOMAIN, Node(b"", NodePerms(seen) if seen else _NOTHING_BUT_DOM0))

    def generation_of(self, path: NodePath) -> int | None:
        """The generation of the node at this path; None: there is none."""
        node = self._nodes.get(path)
        return None if node is None else node.generation

    def put(self, path: NodePath, node: Node) -> None:
        """Set or make the node. Its parent's list of children is the caller's."""
        self.generation += 1
        before = self._nodes.get(path)
        self._nodes[path] = node.with_generation(self.generation)
        if before is not None and before.perms is node.perms:
            more = len(node.value) + len(node.children) - len(before.value) - len(before.children)
            if more:
                self._accounts.of(node.perms.owner).bytes += more
        elif path[0] != "@":
            # The special nodes count for nobody.
            if before is not None:
                self._disown(path, before)
            self._own(path, node)

    def set_special(self, path: NodePath, node: Node) -> None:
        """Change a special node without a trace in the generations."""
        self._nodes[path] = node

    def remove(self, path: NodePath) -> None:
        """Drop the node; nothing happens where there is none."""
        before = self._nodes.pop(path, None)
        if before is not None:
            self._disown(path, before)

    def memory(self, path: NodePath, node: Node) -> int:
        """Bytes that this node takes of its owner's memory: as a record of C's data base."""
        content = len(node.value) + len(node.children) + 8 * len(node.perms.entries)
        return self._node_overhead + len(path) + content

    def owned(self, domid: DomId) -> int:
        """How many nodes this domain owns."""
        account = self._accounts.get(domid)
        return 0 if account is None else account.nodes

    def items(self) -> Iterator[tuple[NodePath, Node]]:
        """Every node with its path, the special ones too."""
        return iter(self._nodes.items())

    def walk(self) -> Iterator[tuple[AbsolutePath, Node]]:
        """Every node but the special ones; parents first, children in order of creation."""
        paths = [ROOT]
        while paths:
            path = paths.pop()
            node = self._nodes[path]
            yield path, node
            paths += (child(path, name) for name in reversed(node.child_names))

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

    def _own(self, path: NodePath, node: Node) -> None:
        account = self._accounts.of(node.perms.owner)
        account.nodes += 1
        account.bytes += self.memory(path, node)
        account.note("nodes", account.nodes)

    def _disown(self, path: NodePath, node: Node) -> None:
        account = self._accounts.of(node.perms.owner)
        account.nodes -= 1
        account.bytes -= self.memory(path, node)
