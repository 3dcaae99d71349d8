"""One node of the store."""

from dataclasses import dataclass, replace
from typing import Self

from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.perms import NodePerms

_NOBODY: frozenset[DomId] = frozenset()


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it is between two changes; every change makes another one."""

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
        return self.children.decode("ascii").split("\0")[:-1]

    def with_value(self, value: bytes) -> Self:
        """The same node with another value."""
        return replace(self, value=value)

    def with_perms(self, perms: NodePerms, ignored: frozenset[DomId]) -> Self:
        """The same node with another permission list."""
        return replace(self, perms=perms, ignored=ignored)

    def with_ignored(self, ignored: frozenset[DomId]) -> Self:
        """The same node with these entries ignored besides those that are already."""
        return replace(self, ignored=self.ignored | ignored)

    def with_child(self, name: str) -> Self:
        """The same node with one more child, the last; it itself where it lists that child."""
        entry = name.encode("ascii") + b"\0"
        return (
            self if self._at(entry) is not None else replace(self, children=self.children + entry)
        )

    def without_child(self, name: str) -> Self:
        """The same node less one child; it itself where it lists no such child.

        In a transaction a parent can be a copy older than its child; the commit then fails,
        because others changed that parent.
        """
        entry = name.encode("ascii") + b"\0"
        start = self._at(entry)
        if start is None:
            return self
        end = start + len(entry)
        return replace(self, children=self.children[:start] + self.children[end:])

    def _at(self, entry: bytes) -> int | None:
        """Where a name with its NUL begins in `children`."""
        if self.children.startswith(entry):
            return 0
        found = self.children.find(b"\0" + entry)
        return None if found < 0 else found + 1
