"""What a hostile device model tries, a file a subject."""

from __future__ import annotations

from toolstack.isolation.attempt import Attempt, Group
from toolstack.isolation.attempts import (
    files,
    guest_ram,
    kernel,
    network,
    processes,
    ring,
    xenstore_load,
    xenstore_nodes,
)

__all__ = ["ATTEMPTS", "named"]

ATTEMPTS: tuple[tuple[Group, tuple[Attempt, ...]], ...] = (
    (Group.FILES, files.ATTEMPTS),
    (Group.PROCESSES, processes.ATTEMPTS),
    (Group.KERNEL, kernel.ATTEMPTS),
    (Group.NETWORK, network.ATTEMPTS),
    (Group.RAM, guest_ram.ATTEMPTS),
    (Group.XENSTORE, (*xenstore_nodes.ATTEMPTS, *xenstore_load.ATTEMPTS)),
    (Group.RING, ring.ATTEMPTS),
)


def named(name: str) -> Attempt:
    """The attempt of that name. Raises: KeyError."""
    for _, attempts in ATTEMPTS:
        for attempt in attempts:
            if attempt.name == name:
                return attempt
    raise KeyError(name)
