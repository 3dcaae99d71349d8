"""Bounds on what unprivileged domains may use; 0 anywhere means no bound.

Source: C xenstored's defaults and checks; docs/misc/xenstore.txt, GET_QUOTA.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

from xenstore_sim.wire.compat import Compat
from xenstore_sim.wire.errors import XenstoreError

BOUND_MAX: Final = 2**32 - 1
"""xenstored and its migration format have 32 bits for a bound."""


class QuotaError(XenstoreError):
    """A bound that cannot be: `quota`, `value`."""

    def __init__(self, quota: str, value: int) -> None:
        super().__init__(quota, value)
        self.quota = quota
        self.value = value

    def __str__(self) -> str:
        return f"quota {self.quota} is {self.value}: give 0 for no bound, {BOUND_MAX} at most"


@dataclass(frozen=True, slots=True)
class Quotas:
    """One set of bounds, the daemon's default or a domain's own; each 0 to `BOUND_MAX`.

    Raises: QuotaError.
    """

    nodes: int = 1000
    """Nodes that a domain owns."""
    watches: int = 128
    outstanding: int = 20
    """Unfinished replies; with more the daemon stops reading that domain's requests."""
    memory: int = 2_621_440
    """Bytes that `store.accounts` counts; a request that would reach it gets ENOMEM."""
    soft_memory: int = 2_097_152
    """Bytes; reaching it is told in the log."""
    transactions: int = 10
    """Open at once."""
    transaction_nodes: int = 1024
    """Nodes that one transaction accesses."""
    node_permissions: int = 5
    """Entries of a permission list."""
    path_max: int = 2048
    """Bytes of a path, without the home prefix."""
    node_size: int = 2048
    """Bytes of a node: overhead, permission list, value and names of children."""

    def __post_init__(self) -> None:
        for name in QUOTA_NAMES:
            if not 0 <= (value := self.quota(name)) <= BOUND_MAX:
                raise QuotaError(name, value)

    def with_quota(self, name: str, value: int) -> Self:
        """The same set with one bound changed. Raises: QuotaError, and
        KeyError for a name not in QUOTA_NAMES."""
        return replace(self, **{_FIELDS[name]: value})

    def quota(self, name: str) -> int:
        """One bound. Raises: KeyError for a name not in QUOTA_NAMES."""
        value = getattr(self, _FIELDS[name])
        assert isinstance(value, int)
        return value


QUOTA_NAMES: Final = (
    "nodes",
    "watches",
    "outstanding",
    "memory",
    "soft-memory",
    "transactions",
    "transaction-nodes",
    "node-permissions",
    "path-max",
    "node-size",
)
"""On the wire, in the order GET_QUOTA lists them."""
_FIELDS: Final = {name: name.replace("-", "_") for name in QUOTA_NAMES}


@dataclass(frozen=True, slots=True)
class QuotaRules:
    """How a release compares use with bounds; all questions are about use after the request."""

    compat: Compat

    def too_many(self, used: int, bound: int) -> bool:
        """Whether `used` is more than the bound lets pass."""
        most = self.most(bound)
        return most is not None and used > most

    def most(self, bound: int) -> int | None:
        """The largest use that the bound lets pass; None: any."""
        return (bound - 1 if self.compat.strict_quotas else bound) if bound else None

    def too_many_open(self, used: int, bound: int) -> bool:
        """The same for watches and transactions: older releases count before adding, so that one
        more than the bound passes."""
        return self.too_many(used if self.compat.strict_quotas else used - 1, bound)

    def node_size(self, content: int) -> int:
        """What the node-size quota counts. content: bytes of permissions, value and children."""
        return self.compat.node_overhead + content

    def too_large(self, size: int, bound: int) -> bool:
        """Whether a node of this size, as `node_size` has it, is too large."""
        return bool(bound) and (size >= bound if self.compat.node_size_below else size > bound)
