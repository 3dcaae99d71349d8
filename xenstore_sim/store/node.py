"""One node of the store."""

from typing import NamedTuple

from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.perms import NodePerms

_NOBODY: frozenset[DomId] = frozenset()


class Node(NamedTuple):
    """A node as it is between two changes; every change makes another one.

    A tuple, and each change spells out all fields: a frozen dataclass takes three times as long
    to make, `replace` ten times.
    """

    value: bytes
    perms: NodePerms
    children: bytes = b""
    """Names in order of creation, each followed by its NUL: what DIRECTORY answers."""
    generation: int = 0
    """The store's count of writes when this node was written."""
    ignored: frozenset[DomId] = _NOBODY
    """Domains whose entries in `perms` do not count: they were unknown when it was set."""

    @property
    def size(self) -> int:
        """Bytes of what it holds: value, names of children, permission list."""
        return len(self.value) + len(self.children) + 8 * len(self.perms.entries)

    @property
    def child_names(self) -> list[str]:
        """Names of the children in order of creation."""
        return self.children.decode("ascii").split("\0")[:-1] if self.children else []

    def with_value(self, value: bytes) -> "Node":
        """The same node with another value."""
        return Node(value, self.perms, self.children, self.generation, self.ignored)

    def with_perms(self, perms: NodePerms, ignored: frozenset[DomId]) -> "Node":
        """The same node with another permission list."""
        return Node(self.value, perms, self.children, self.generation, ignored)

    def with_generation(self, generation: int) -> "Node":
        """The same node as written then."""
        return Node(self.value, self.perms, self.children, generation, self.ignored)

    def with_ignored(self, ignored: frozenset[DomId]) -> "Node":
        """The same node with these entries ignored besides those that are already."""
        return self.with_perms(self.perms, self.ignored | ignored)

    def with_child(self, name: str) -> "Node":
        """The same node with one more child, the last; it itself where it lists that child."""
        entry = name.encode("ascii") + b"\0"
        if self._at(entry) is not None:
            return self
        return self._with_children(self.children + entry)

    def without_child(self, name: str) -> "Node":
        """The same node less one child; it itself where it lists no such child.

        In a transaction a parent can be a copy older than its child; the commit then fails,
        because others changed that parent.
        """
        entry = name.encode("ascii") + b"\0"
        start = self._at(entry)
        if start is None:
            return self
        end = start + len(entry)
        return self._with_children(self.children[:start] + self.children[end:])

    def _with_children(self, children: bytes) -> "Node":
        return Node(self.value, self.perms, children, self.generation, self.ignored)

    def _at(self, entry: bytes) -> int | None:
        """Where a name with its NUL begins in `children`."""
        if self.children.startswith(entry):
            return 0
        found = self.children.find(b"\0" + entry)
        return None if found < 0 else found + 1
