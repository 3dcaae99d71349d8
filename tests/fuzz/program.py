"""What a fuzzer does to a daemon, as values, and as bytes that can be kept and played again."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from xenstore_sim.wire.compat import COMPAT_4_17, COMPAT_4_20, COMPAT_4_22, Compat
from xenstore_sim.wire.names import DomId

COMPATS: Final = (COMPAT_4_17, COMPAT_4_20, COMPAT_4_22)
DOMAINS: Final = (DomId(1), DomId(2), DomId(3))
"""Introduced at the start, each with a home of its own; 2 is a stub domain of 1."""
_STEP: Final = struct.Struct("<BBH")


class Kind(IntEnum):
    """What a step does; `number` of the step says to whom, or how much."""

    CONNECT = 0
    """A stream of domain `number` connects."""
    CONNECT_RING = 1
    FEED = 2
    """The peer in slot `number` sends `data`."""
    DRAIN = 3
    """The peer in slot `number` takes as many bytes as the length of `data`."""
    DISCONNECT = 4
    DESTROY = 5
    """The hypervisor destroys domain `number`."""
    SHUT_DOWN = 6
    BLOCKED = 7
    """The peer in slot `number` takes no more: its events grow old from now on."""
    TICK = 8
    """`number` seconds pass."""


HYPERVISORS: Final = frozenset({Kind.DESTROY, Kind.SHUT_DOWN})


@dataclass(frozen=True, slots=True)
class Step:
    """One of the things that happen."""

    kind: Kind
    number: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Program:
    """Steps, and the release of the daemon that they are for."""

    compat: Compat
    steps: tuple[Step, ...]

    @property
    def trusted(self) -> bool:
        """Whether someone takes part who may do everything: dom0 or the hypervisor."""
        return any(
            step.kind in HYPERVISORS or (step.kind is Kind.CONNECT and step.number == 0)
            for step in self.steps
        )

    def encode(self) -> bytes:
        """A byte for the release, and four before the data of each step."""
        return bytes([COMPATS.index(self.compat)]) + b"".join(
            _STEP.pack(step.kind, step.number, len(step.data)) + step.data for step in self.steps
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The program that `encode` made bytes of."""
        steps, at = [], 1
        while at < len(data):
            kind, number, length = _STEP.unpack_from(data, at)
            at += _STEP.size
            steps.append(Step(Kind(kind), number, data[at : at + length]))
            at += length
        return cls(COMPATS[data[0]], tuple(steps))
