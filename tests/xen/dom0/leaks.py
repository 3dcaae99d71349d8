"""What a scenario leaves behind: domains, xenstore nodes, memory, grants."""

from __future__ import annotations

import time
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Final

from tests.xen.dom0.commands import attempt, run
from tests.xen.dom0.domains import domains
from tests.xen.dom0.xen_console import active_grants

_SETTLE_S: Final = 10
_POLL_S: Final = 1.0
_KEPT_BY_LIBXL: Final = frozenset(
    {"/vm", "/libxl", "/local/domain/0/device-model", "/local/domain/0/backend"}
)
"""Folders that stay once the first guest was there, empty."""


@dataclass(frozen=True, slots=True)
class Residue:
    """What there is, apart from dom0's own."""

    domains: frozenset[int]
    """domids, also of those that are dying: one whose memory is still mapped stays for ever"""
    nodes: frozenset[str]
    """paths in xenstore"""
    free_mib: int
    """of the machine; domains that are gone give theirs back"""
    grants: int
    """that are mapped"""

    def beyond(self, before: Residue) -> dict[str, list[str]]:
        """What is here and was not there."""
        found = {
            "domains": [str(domid) for domid in sorted(self.domains - before.domains)],
            "nodes": _topmost(self.nodes - before.nodes),
            "lost nodes": sorted(before.nodes - self.nodes),
        }
        if self.free_mib < before.free_mib:
            found["memory"] = [f"{before.free_mib - self.free_mib} MiB less are free"]
        if self.grants > before.grants:
            found["grants"] = [f"{self.grants - before.grants} more are mapped"]
        return {what: names for what, names in found.items() if names}


def residue() -> Residue:
    """What there is now."""
    nodes = (line.split(" = ")[0] for line in run("xenstore-ls", "-f").splitlines())
    return Residue(
        frozenset(domain.domid for domain in domains()),
        frozenset(node for node in nodes if node.startswith("/") and node not in _KEPT_BY_LIBXL),
        _free_mib(),
        active_grants(),
    )


def _topmost(nodes: Set[str]) -> list[str]:
    """Those that are below none of the others."""
    return sorted(node for node in nodes if node.rpartition("/")[0] not in nodes)


def settled(before: Residue) -> Residue:
    """What there is once it is as before, or after some seconds: a domain's end takes a while."""
    deadline = time.monotonic() + _SETTLE_S
    while (now := residue()).beyond(before) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return now


def clean_up(before: Residue) -> None:
    """Destroys what is here and was not there, so that the next scenario starts as this one."""
    for domid in residue().beyond(before).get("domains", ()):
        attempt("xl", "destroy", domid)
    for node in residue().beyond(before).get("nodes", ()):
        attempt("xenstore-rm", node)
    settled(before)


def _free_mib() -> int:
    (found,) = (
        line.partition(":")[2]
        for line in run("xl", "info").splitlines()
        if line.startswith("free_memory")
    )
    return int(found)


def as_text(left: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in left.items())
