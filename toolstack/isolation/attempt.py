"""One thing that a hostile device model tries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from toolstack.isolation.position import Position
from toolstack.isolation.promises import Barrier, Promise

DEADLINE_S = 4.0
"""After that, an attempt counts as hung and its process is killed."""


class Group(Enum):
    """The attempts as the table shows them."""

    FILES = "files and descriptors"
    PROCESSES = "processes and memory"
    KERNEL = "kernel interfaces"
    NETWORK = "network"
    RAM = "guest RAM"
    XENSTORE = "xenstore"
    RING = "xenstore's ring"
    PROTOCOL = "protocol"


class Stopped(Exception):
    """An attempt did not get through; the text says how that showed, as an errno's name does."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt; `make` returns in a few words what it got, or raises OSError or Stopped.

    name: as the table and docs/isolation.md have it. barrier: what is expected to stop it first;
    None: it is the device model's right and must get through.
    """

    name: str
    promise: Promise
    barrier: Barrier | None
    make: Callable[[Position], str]
    alone: bool = False
    """needs a process of its own, as what it does cannot be undone, or may end it"""
    unproven: str = ""
    """why it cannot succeed even with every layer off; empty: it must"""
