"""The machine's domains, as xl lists them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from tests.xen.dom0.commands import run

_POLL_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Domain:
    name: str
    domid: int
    memory_mib: int
    state: str
    """six letters of rbpscd, `-` for what it is not"""


def domains() -> tuple[Domain, ...]:
    """All but dom0."""
    rows = (line.split() for line in run("xl", "list").splitlines()[1:])
    listed = (Domain(row[0], int(row[1]), int(row[2]), row[4]) for row in rows)
    return tuple(domain for domain in listed if domain.domid)


def domid_of(name: str) -> int:
    return int(run("xl", "domid", name))


def wait_until_gone(domid: int, timeout_s: float) -> None:
    """Raises: TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while any(domain.domid == domid for domain in domains()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"domain {domid} is still there after {timeout_s:g} s")
        time.sleep(_POLL_S)
