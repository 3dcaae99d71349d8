"""What a hostile device model tries on a real Xen, a file a subject."""

from __future__ import annotations

from typing import Final

from toolstack.isolation.stubdom.attempt import Attempt
from toolstack.isolation.stubdom.attempts import host, hypervisor, ram, xenstore

__all__ = ["ATTEMPTS"]

# What ends a domain comes last: RAM, nodes and permissions are there until then.
ATTEMPTS: Final[tuple[Attempt, ...]] = (
    *ram.ATTEMPTS,
    *host.ATTEMPTS,
    *xenstore.ATTEMPTS,
    *hypervisor.ATTEMPTS,
)
