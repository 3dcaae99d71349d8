"""Domains the daemon knows: introduced ones, and those that permission lists name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from xenstore_sim.store.quotas import Quotas
from xenstore_sim.wire.names import DOM0, DOMID_SELF, DomId

FEATURES: Final = 2 | 4 | 8
"""XENSTORE_SERVER_FEATURE_ERROR, _WATCHDEPTH and _DOMID_ANY; _RECONNECTION, 1, is not offered."""

DomainExists = Callable[[DomId], bool]
"""Whether the hypervisor has this domain: it may exist long before it is introduced."""


def every_domain_exists(domid: DomId) -> bool:
    """What a daemon without a hypervisor takes for true: any domid a domain can have exists."""
    return 0 <= domid < DOMID_SELF


@dataclass(slots=True)
class Domain:
    """What the daemon keeps about one domain."""

    domid: DomId
    generation: int
    """The store's generation when the domain became known: what was written before, was written
    for an earlier domain of this id."""
    quotas: Quotas
    introduced: bool = False
    target: DomId | None = None
    shutdown_reported: bool = False
    dead: bool = False
    """The hypervisor has it no more, and a stub domain still holds it."""
    features: int = FEATURES


class Domains:
    """All known domains but dom0, which is always there."""

    __slots__ = ("_holds", "_known", "exists")

    def __init__(self, exists: DomainExists) -> None:
        self.exists = exists
        self._known: dict[DomId, Domain] = {}
        self._holds: list[tuple[DomId, DomId]] = []
        """Holder and target of each SET_TARGET, oldest first."""

    def get(self, domid: DomId) -> Domain | None:
        """The domain, if it is known."""
        return self._known.get(domid)

    def know(self, domid: DomId, generation: int, quotas: Quotas) -> Domain | None:
        """The domain, known from now on; None when the hypervisor has no such domain."""
        known = self._known.get(domid)
        if known is None and self.exists(domid):
            known = self._known[domid] = Domain(domid, generation, quotas)
        return known

    def __iter__(self) -> Iterator[Domain]:
        return iter(self._known.values())

    @property
    def holds(self) -> tuple[tuple[DomId, DomId], ...]:
        """Holder and target of each SET_TARGET, oldest first."""
        return tuple(self._holds)

    def forget(self, domid: DomId) -> None:
        """The domain is gone, and its hold on its target too."""
        self._known.pop(domid, None)
        for other in self._known.values():
            if other.target == domid:
                other.target = None
        self._holds = [hold for hold in self._holds if domid not in hold]

    def introduced(self, domid: DomId) -> Domain | None:
        """The domain, if it was introduced and not released."""
        known = self._known.get(domid)
        return known if known is not None and known.introduced else None

    def is_introduced(self, domid: DomId) -> bool:
        """What IS_DOMAIN_INTRODUCED answers."""
        return domid in (DOM0, DOMID_SELF) or self.introduced(domid) is not None

    def hold(self, holder: DomId, target: DomId) -> None:
        """Keep the target from being released, once more."""
        self._holds.append((holder, target))

    def held_by(self, holder: DomId) -> tuple[DomId, ...]:
        """The targets that this domain keeps."""
        return tuple(target for each, target in self._holds if each == holder)

    def is_held(self, target: DomId) -> bool:
        """Whether another domain keeps this one."""
        return any(each == target for _, each in self._holds)

    def drop_hold(self, target: DomId, holder: DomId | None = None) -> None:
        """Drop the newest hold on this domain, which is held. holder: of this one's alone."""
        del self._holds[
            max(
                index
                for index, (by, held) in enumerate(self._holds)
                if held == target and holder in (None, by)
            )
        ]

    def was_there(self, domid: DomId, generation: int) -> bool:
        """Whether a node of this generation was written for the domain that now has this id."""
        if domid == DOM0:
            return True
        known = self._known.get(domid)
        return known is not None and known.generation <= generation
