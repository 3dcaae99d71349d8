"""One thing that a hostile device model tries on domains of a real Xen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from toolstack.isolation.promises import Promise
from toolstack.isolation.stubdom.hands import Hands
from toolstack.isolation.stubdom.order import Whom

DOMAINS = (Whom.TARGET, Whom.BYSTANDER, Whom.DOM0, Whom.ABSENT)


class Group(Enum):
    """The attempts as the tables show them."""

    RAM = "guest RAM"
    HYPERVISOR = "hypervisor"
    XENSTORE = "xenstore"
    HOST = "host"


class Claim(Enum):
    """What is said of an attempt on its own target; on anybody else each is forbidden."""

    RIGHT = "its right"
    """a device model cannot do without"""
    OPEN = "left open"
    """may get through or not: at worst its target's ruin"""
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt; `make` returns in a few words what it got, or raises as those of the simulation.

    of: on whom it is made, one after the other. simulated: the attempts of the simulation that it
    corresponds to, on the target and on others; None where there is no such call.
    """

    name: str
    group: Group
    promise: Promise
    make: Callable[[Hands, Whom], str]
    target: Claim = Claim.FORBIDDEN
    simulated: tuple[str | None, str | None] = (None, None)
    of: tuple[Whom, ...] = DOMAINS
    unproven: str = ""
    """why it cannot succeed even where nothing is in the way; empty: it must"""
    alone: bool = False
    """may end its process, and gets one of its own"""
