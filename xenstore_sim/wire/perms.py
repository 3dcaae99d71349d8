"""Permission lists of nodes: owner first, then exceptions; text form `n0,r5`.

Source: docs/misc/xenstore.txt, SET_PERMS.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from xenstore_sim.wire.errors import InvalidPerms
from xenstore_sim.wire.names import DomId

_ENTRY: Final = re.compile(r"([nrwb])([0-9]{1,10})")
_U32_MAX: Final = 0xFFFF_FFFF


class Access(StrEnum):
    """What an entry of a permission list grants."""

    NONE = "n"
    READ = "r"
    WRITE = "w"
    BOTH = "b"


@dataclass(frozen=True, slots=True)
class Perm:
    """One entry: this domain may do that."""

    domid: DomId
    """0 to 2**32 - 1: the wire lets domids pass that no domain can have."""
    access: Access

    def __post_init__(self) -> None:
        if not 0 <= self.domid <= _U32_MAX:
            raise InvalidPerms(f"{self.access}{self.domid}")

    def __str__(self) -> str:
        return f"{self.access.value}{self.domid}"


@dataclass(frozen=True, slots=True)
class NodePerms:
    """A whole list. The first entry names the owner and what everyone else may do."""

    entries: tuple[Perm, ...]
    """At least one."""

    def __post_init__(self) -> None:
        if not self.entries:
            raise InvalidPerms("")

    @classmethod
    def of(cls, *entries: str) -> Self:
        """The list with these entries, as in `NodePerms.of("n0", "r5")`. Raises: InvalidPerms."""
        return cls(tuple(_entry(text) for text in entries))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The list that `text` writes with commas, as in `n0,r5`. Raises: InvalidPerms."""
        return cls.of(*text.split(","))

    @property
    def owner(self) -> DomId:
        """Whose node it is: may do anything with it."""
        return self.entries[0].domid

    @property
    def others(self) -> Access:
        """What a domain without an entry may do."""
        return self.entries[0].access

    @property
    def exceptions(self) -> tuple[Perm, ...]:
        """The entries for single domains; the first that names a domain counts."""
        return self.entries[1:]

    def owned_by(self, owner: DomId) -> Self:
        """The same list with another owner."""
        if owner == self.owner:
            return self
        return type(self)((Perm(owner, self.others), *self.exceptions))

    def without(self, domid: DomId) -> Self:
        """The same list less this domain's exceptions."""
        kept = tuple(entry for entry in self.exceptions if entry.domid != domid)
        return self if len(kept) == len(self.exceptions) else type(self)((self.entries[0], *kept))

    def __str__(self) -> str:
        return ",".join(map(str, self.entries))


def _entry(text: str) -> Perm:
    match = _ENTRY.fullmatch(text)
    if match is None:
        raise InvalidPerms(text)
    return Perm(DomId(int(match[2])), Access(match[1]))
