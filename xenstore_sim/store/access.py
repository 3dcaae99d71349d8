"""What a domain may do with a node. Nothing is inherited from the nodes above.

Source: docs/misc/xenstore.txt, permissions; C xenstored for stale entries.
"""

from dataclasses import dataclass, field
from typing import Final

from xenstore_sim.store.domains import Domains
from xenstore_sim.store.node import Node
from xenstore_sim.wire.names import DOM0, DOMID_ANY, DomId
from xenstore_sim.wire.perms import Access

# Plain ints: every request tests them, and enum flags cost more than the lookup of the node.
READ: Final = 1
WRITE: Final = 2
OWNER: Final = 4
ALL: Final = READ | WRITE | OWNER

_GRANTS: Final = {
    Access.NONE: 0,
    Access.READ: READ,
    Access.WRITE: WRITE,
    Access.BOTH: READ | WRITE,
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks."""

    domid: DomId
    target: DomId | None = None
    """The domain it may act for."""
    privileged: bool = field(init=False)
    """Whether permissions and quotas do not bind it. Kept, for every request asks often."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "privileged", self.domid == DOM0)

    def is_or_targets(self, domid: DomId) -> bool:
        """Whether it acts as this domain."""
        return domid == self.domid or domid == self.target


class AccessRules:
    """Judges nodes by their permission lists and by which domains there are."""

    __slots__ = ("_any_domain", "_domains")

    def __init__(self, domains: Domains, *, any_domain: bool) -> None:
        """any_domain: an entry for DOMID_ANY speaks for every domain."""
        self._domains = domains
        self._any_domain = any_domain

    def rights(self, node: Node, who: Identity) -> int:
        """Bits READ, WRITE and OWNER that `who` has on the node."""
        if who.privileged:
            return ALL
        if who.is_or_targets(node.perms.owner):
            return ALL
        for entry in node.perms.exceptions:
            if self._concerns(entry.domid, who) and not self._is_stale(entry.domid, node):
                return _GRANTS[entry.access]
        return _GRANTS[node.perms.others]

    def stale_entries(self, node: Node) -> frozenset[DomId]:
        """Domains in the node's list whose entries do not count, now and until it is set anew.

        To be kept with the node when it is written: its generation no longer tells then.
        """
        if len(node.perms.entries) == 1:
            return node.ignored
        return frozenset(
            entry.domid for entry in node.perms.exceptions if self._is_stale(entry.domid, node)
        )

    def _concerns(self, domid: DomId, who: Identity) -> bool:
        return who.is_or_targets(domid) or (self._any_domain and domid == DOMID_ANY)

    def _is_stale(self, domid: DomId, node: Node) -> bool:
        if self._any_domain and domid == DOMID_ANY:
            return False
        return domid in node.ignored or not self._domains.was_there(domid, node.generation)
