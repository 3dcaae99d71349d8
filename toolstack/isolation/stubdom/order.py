"""What a hostile device model on Xen is told: where it is, who is around, what to try."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Self

OPTION = "--isolation"
"""Of its command line, in front of the order."""
WORD = "isolation "
"""In front of each thing it tells, on its standard error or its stub domain's console."""
RAM_AT = 0x80_0000
"""In each guest; the secret lies there, and the words are written behind it."""
WORDS = b"written by the hostile device model"


class Whom(Enum):
    """On whom an attempt is made."""

    TARGET = "target"
    BYSTANDER = "bystander"
    DOM0 = "dom0"
    ABSENT = "absent"
    HOST = "host"
    """nobody's: Xen, the machine, xenstored"""


class Place(Enum):
    """Where it stands, and so what is in its way."""

    STUB_DOMAIN = "stub domain"
    """root there, and Linux's privcmd acts on the target alone"""
    XEN_ALONE = "Xen alone"
    """the same without Linux's limit: root has loaded the module anew"""
    PROCESS = "process of dom0"
    """confined as a device model of dom0 is"""
    CONTROL = "control"
    """root in dom0: nothing is in the way"""


@dataclass(frozen=True, slots=True)
class Order:
    """Facts that an attacker might know; everybody named here was put up to be attacked.

    secret: at RAM_AT in the RAM of target and bystander, and in their nodes. store: frame and event
    channel of the bystander's xenstore ring, by which it can be introduced again.
    """

    place: Place
    stubdom: int
    """0: it asks xenstored which domain it is in"""
    target: int
    bystander: int
    absent: int
    secret: str
    store: tuple[int, int]

    def domid(self, whom: Whom) -> int:
        match whom:
            case Whom.TARGET:
                return self.target
            case Whom.BYSTANDER:
                return self.bystander
            case Whom.ABSENT:
                return self.absent
            case Whom.DOM0 | Whom.HOST:
                return 0

    def encode(self) -> str:
        return json.dumps(asdict(self) | {"place": self.place.value})

    @classmethod
    def decode(cls, text: str) -> Self:
        """Raises: ValueError, KeyError, TypeError."""
        words: dict[str, Any] = json.loads(text)
        place, store = Place(words.pop("place")), words.pop("store")
        return cls(place=place, store=(store[0], store[1]), **words)
