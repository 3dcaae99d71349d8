"""What a hostile device model has in its hands while it makes an attempt."""

from __future__ import annotations

from dataclasses import dataclass

from toolstack.isolation.surroundings import Surroundings
from toolstack.isolation.voice import Voice
from toolstack.isolation.wire import RingWire

LEAKED_FILE_FD = 60
LEAKED_DIRECTORY_FD = 61
LEAKED_RAM_FD = 62
"""Where descriptors lie that were inherited by mistake; low numbers are taken by what is opened
later, a leak keeps its own."""


@dataclass(frozen=True, slots=True)
class Position:
    """The descriptors of the handoff and what it knows of the world."""

    around: Surroundings
    ram_fd: int
    xenstore: Voice
    ring: RingWire | None
    """what carries it; None: a socket"""
    sacrificial: bool
    """a trial run with nothing in the way: what cannot be put right again is done to a stand-in"""
