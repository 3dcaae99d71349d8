"""Transactions as C xenstored has them: no snapshot at the start, but a copy of each node at its
first access, whose generation must still be the same at the end.

Source: docs/misc/xenstore.txt, TRANSACTION_START; C xenstored for what conflicts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from xenstore_sim.store.accounts import Account
from xenstore_sim.store.node import Node
from xenstore_sim.store.tree import Tree
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.names import NO_TX, DomId, NodePath, TxId
from xenstore_sim.wire.ops import Errno

_IDS: Final = 2**32
_KEY_BYTES: Final = 3
"""Of each copy of a node: the transaction's number, and a slash."""
UNCOMMITTED: Final = 2**64 - 1
"""Generation of a node that a transaction wrote: newer than every domain known meanwhile."""


class Tell(Protocol):
    """Fires the watches of one changed node."""

    def __call__(self, path: NodePath, *, exact: bool, before: Node | None) -> None: ...


@dataclass(slots=True)
class Access:
    """What the transaction knows of one path."""

    before: Node | None
    """As it was at the first access; None: missing, and it must be missing still at the end."""
    node: Node | None
    modified: bool = False
    told: bool = False
    """Its watches are to fire at the end."""
    exact: bool = False


class Transaction:
    """A view of the store that others see nothing of until it is committed."""

    __slots__ = ("_accessed", "_account", "_max_accessed", "_owned", "_tree", "poisoned", "size")

    def __init__(
        self, tree: Tree, account: Account, max_accessed: Callable[[], int | None] | None
    ) -> None:
        """account: of who began it. max_accessed: how many nodes it may touch; None: any number."""
        self._tree = tree
        self._account = account
        self.size = 0
        """Bytes of its copies of nodes."""
        self._max_accessed = max_accessed
        self._accessed: dict[NodePath, Access] = {}
        self._owned: dict[DomId, int] = {}
        self.poisoned = False
        """It cannot be committed any more."""

    def get(self, path: NodePath) -> Node | None:
        """The node as this transaction has it. Raises: Refusal, ENOSPC, beyond its bound."""
        return self._access(path).node

    def put(self, path: NodePath, node: Node) -> None:
        """Set or make a node in this transaction."""
        access = self._access(path)
        before = access.node
        if before is not None and before.perms is node.perms:
            self.size += len(node.value) + len(node.children)
            self.size -= len(before.value) + len(before.children)
        else:
            self._count(before, -1)
            self._count(node, +1)
            self.size += self._memory(path, node) - self._memory(path, before)
        # Else its permission entries would count as older than the domains they name.
        access.node = node.with_generation(UNCOMMITTED)
        access.modified = True

    def remove(self, path: NodePath) -> None:
        """Drop a node in this transaction."""
        access = self._access(path)
        self._count(access.node, -1)
        self.size -= self._memory(path, access.node)
        access.node = None
        access.modified = True

    def changed(self, path: NodePath, *, exact: bool = False, before: Node | None = None) -> None:
        """Let the watches fire at the end, once, however often the node changes."""
        access = self._access(path)
        access.told = True
        access.exact = exact

    def owned(self, domid: DomId) -> int:
        """How many nodes the domain would own, were it committed now."""
        return self._tree.owned(domid) + self._owned.get(domid, 0)

    def gained(self) -> Iterator[DomId]:
        """Domains that would own more nodes than before."""
        return (domid for domid, more in self._owned.items() if more > 0)

    def poison(self) -> None:
        """Refuse to be committed."""
        self.poisoned = True

    def is_current(self) -> bool:
        """Whether nobody else changed what it accessed."""
        for path, access in self._accessed.items():
            now, before = self._tree.get(path), access.before
            if now is not before and (
                now is None or before is None or now.generation != before.generation
            ):
                return False
        return True

    def commit(self, tell: Tell) -> bool:
        """Whether the changes are in the store now; False: others changed what was accessed.

        Events come in the order of first access.
        """
        if not self.is_current():
            return False
        for path, access in self._accessed.items():
            if not access.modified or (access.before is None and access.node is None):
                continue
            if access.node is None:
                self._tree.remove(path)
            else:
                self._tree.put(path, access.node)
            if access.told:
                tell(path, exact=access.exact, before=access.before)
        return True

    def accesses(self) -> Iterator[tuple[NodePath, Access]]:
        """What it knows of each path, in the order of first access."""
        return iter(self._accessed.items())

    def resume(self, path: NodePath, access: Access) -> None:
        """Know this of one more path, as the same transaction did in another daemon."""
        self._accessed[path] = access
        self.size += self._memory(path, access.node)
        if access.modified:
            self._count(access.before, -1)
            self._count(access.node, +1)

    def _access(self, path: NodePath) -> Access:
        access = self._accessed.get(path)
        if access is None:
            if self._max_accessed is not None:
                most = self._max_accessed()
                if most is not None and len(self._accessed) >= most:
                    self.poisoned = True
                    raise Refusal(Errno.ENOSPC)
            node = self._tree.get(path)
            access = self._accessed[path] = Access(node, node)
            self.size += self._memory(path, node)
            self._account.note("transaction-nodes", len(self._accessed))
        return access

    def _memory(self, path: NodePath, node: Node | None) -> int:
        return 0 if node is None else self._tree.memory(path, node) + _KEY_BYTES

    def _count(self, node: Node | None, more: int) -> None:
        if node is not None:
            owner = node.perms.owner
            self._owned[owner] = self._owned.get(owner, 0) + more


class Transactions:
    """The open transactions of one connection."""

    __slots__ = ("_open", "last")

    def __init__(self) -> None:
        self._open: dict[TxId, Transaction] = {}
        self.last = NO_TX
        """The id that was given last."""

    def add(self, transaction: Transaction) -> TxId:
        """The id this transaction has from now on: the next that is free, never 0."""
        while True:
            self.last = TxId((self.last + 1) % _IDS)
            if self.last != NO_TX and self.last not in self._open:
                self._open[self.last] = transaction
                return self.last

    def resume(self, tx_id: TxId, transaction: Transaction) -> None:
        """Go on with one that had this id in another daemon."""
        self._open[tx_id] = transaction

    def get(self, tx_id: TxId) -> Transaction | None:
        """The transaction, if it is open."""
        return self._open.get(tx_id)

    def items(self) -> Iterator[tuple[TxId, Transaction]]:
        """The open ones, oldest first."""
        return iter(self._open.items())

    def end(self, tx_id: TxId) -> None:
        """The id is free again."""
        del self._open[tx_id]

    def clear(self) -> None:
        """Drop all of them, uncommitted."""
        self._open.clear()

    @property
    def size(self) -> int:
        """Bytes they keep."""
        return sum(transaction.size for transaction in self._open.values())

    def __len__(self) -> int:
        return len(self._open)
