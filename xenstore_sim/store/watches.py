"""Who watches what, and whom a change concerns."""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NewType

from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.names import ROOT, NodePath, Token, parent
from xenstore_sim.wire.ops import Errno

ConnId = NewType("ConnId", int)
"""A connection; later ones have greater ids."""


@dataclass(slots=True, eq=False)
class Watch:
    """One registered watch. Nothing of it changes but how often it fired."""

    conn: ConnId
    path: NodePath
    token: Token
    home_length: int
    """Characters to cut from the paths of events: those the client left out; 0: it wrote an
    absolute path."""
    depth: int | None
    """Levels below the path that matter; None: all."""
    serial: int
    """Later watches have greater ones."""
    fired: int = 0
    """Events it had, also those that waited for its client already."""

    def reaches(self, path: NodePath) -> bool:
        """Whether a change at `path`, which is at or below the watched one, is near enough."""
        if self.depth is None or path == self.path:
            return True
        below = path if self.path == ROOT else path[len(self.path) :]
        return below.count("/") <= self.depth


_ORDER: Final = attrgetter("conn", "serial")


class Watches:
    """All watches, found by path: a change costs as much as it is deep, however many there are."""

    __slots__ = ("_by_connection", "_by_path", "_serial", "_sizes")

    def __init__(self) -> None:
        self._by_path: dict[NodePath, dict[tuple[ConnId, Token], Watch]] = {}
        self._by_connection: dict[ConnId, dict[tuple[NodePath, Token], Watch]] = {}
        self._sizes: dict[ConnId, int] = {}
        self._serial = 0

    def add(
        self, conn: ConnId, path: NodePath, token: Token, home_length: int, depth: int | None
    ) -> None:
        """Register a watch. path, token: `has` none such."""
        own = self._by_connection.setdefault(conn, {})
        self._serial += 1
        watch = Watch(conn, path, token, home_length, depth, self._serial)
        own[path, token] = watch
        self._sizes[conn] = self.size(conn) + _size(path, token)
        self._by_path.setdefault(path, {})[conn, token] = watch

    def has(self, conn: ConnId, path: NodePath, token: Token) -> bool:
        """Whether the connection has this watch."""
        return (path, token) in self._by_connection.get(conn, ())

    def remove(self, conn: ConnId, path: NodePath, token: Token) -> None:
        """Drop a watch. Raises: Refusal, ENOENT, when there is none."""
        own = self._by_connection.get(conn, {})
        if own.pop((path, token), None) is None:
            raise Refusal(Errno.ENOENT)
        self._sizes[conn] -= _size(path, token)
        self._unlink(conn, path, token)

    def drop_connection(self, conn: ConnId) -> None:
        """Drop all watches of a connection."""
        self._sizes.pop(conn, None)
        for path, token in self._by_connection.pop(conn, {}):
            self._unlink(conn, path, token)

    def of(self, conn: ConnId) -> tuple[Watch, ...]:
        """The watches of a connection, in the order of registration."""
        return tuple(self._by_connection.get(conn, {}).values())

    def count(self, conn: ConnId) -> int:
        """How many watches a connection has."""
        return len(self._by_connection.get(conn, ()))

    def size(self, conn: ConnId) -> int:
        """Bytes of a connection's watches."""
        return self._sizes.get(conn, 0)

    def concerned(self, path: NodePath, *, exact: bool) -> list[Watch]:
        """The watches that a change at this path reaches, in the order of delivery.

        exact: the node went away with one above it, so only watches on the node itself count.
        """
        by_path = self._by_path
        here = by_path.get(path)
        found = list(here.values()) if here else []
        if not exact and by_path and path.startswith("/"):
            at = path
            while at != ROOT:
                at = parent(at)
                if here := by_path.get(at):
                    found += (watch for watch in here.values() if watch.reaches(path))
        if len(found) > 1:
            found.sort(key=_ORDER)
        return found

    def __iter__(self) -> Iterator[Watch]:
        return (watch for own in self._by_connection.values() for watch in own.values())

    def __len__(self) -> int:
        return sum(map(len, self._by_connection.values()))

    def _unlink(self, conn: ConnId, path: NodePath, token: Token) -> None:
        here = self._by_path[path]
        del here[conn, token]
        if not here:
            del self._by_path[path]


def _size(path: NodePath, token: Token) -> int:
    return len(path) + len(token)
