"""Where the two daemons may differ, each as narrow as it can be said, and why."""

import re
from collections.abc import Callable

from tests.differential.steps import Request, Who
from tests.oracle.raw_client import ERROR, Message
from xenstore_sim.wire.ops import Op

Known = Callable[[Request, Message, Message], bool]
"""Takes a request, the real daemon's reply and ours; True: these two may differ."""

_DESCRIPTION = re.compile(rb"(?m)^([a-z-]+ *: +\d+) .*$")
_MEMORY = re.compile(rb"(?m)^memory +: +\d+$")
_LIVE_UPDATE = re.compile(rb"(?s)live-update.*?\n(?=logfile)")


def _stale_errno(request: Request, real: Message, ours: Message) -> bool:
    """4.17 refuses SET_PERMS of a special node with an errno of earlier work. The stub makes that
    EINVAL; meant is EACCES."""
    return (
        request.type == Op.SET_PERMS
        and request.payload.startswith((b"@introduceDomain\0", b"@releaseDomain\0"))
        and (real.type, real.payload) == (ERROR, b"EINVAL\0")
        and (ours.type, ours.payload) == (ERROR, b"EACCES\0")
    )


def _words_for_people(request: Request, real: Message, ours: Message) -> bool:
    """What quotas and live-update are is said in our own words; names and numbers are the same."""
    return (
        request.type == real.type == ours.type == Op.CONTROL
        and request.payload.split(b"\0")[0] in (b"quota", b"quota-soft", b"help")
        and _plain(real.payload) == _plain(ours.payload)
    )


def _plain(text: bytes) -> bytes:
    return _LIVE_UPDATE.sub(b"", _DESCRIPTION.sub(rb"\1", text))


def _memory_used(request: Request, real: Message, ours: Message) -> bool:
    """How many bytes a domain takes hangs on how the daemon keeps them."""
    return (
        request.type == real.type == ours.type == Op.CONTROL
        and request.payload.startswith(b"quota\0")
        and _MEMORY.sub(b"", real.payload) == _MEMORY.sub(b"", ours.payload)
    )


def _generation(request: Request, real: Message, ours: Message) -> bool:
    """The generation counts writes, and the real one has more of them in a request. Clients compare
    it with an earlier one: `Generations` does that."""
    return (
        request.type == real.type == ours.type == Op.DIRECTORY_PART
        and real.payload.partition(b"\0")[2] == ours.payload.partition(b"\0")[2]
    )


def _listed_twice(request: Request, real: Message, ours: Message) -> bool:
    """A child that others removed and a transaction makes again, the real one lists twice in it,
    as its copy of the directory lists it still. Such a transaction cannot be committed."""
    if not request.type == real.type == ours.type == Op.DIRECTORY or not real.tx_id:
        return False
    return tuple(dict.fromkeys(real.payload.split(b"\0"))) == tuple(ours.payload.split(b"\0"))


KNOWN: tuple[Known, ...] = (
    _stale_errno,
    _words_for_people,
    _memory_used,
    _generation,
    _listed_twice,
)


def is_known(request: Request, real: Message, ours: Message) -> bool:
    """Whether these replies to a request may differ."""
    return any(known(request, real, ours) for known in KNOWN)


class Generations:
    """What DIRECTORY_PART told of generations outside of transactions: they are to change for a
    client of ours when they do for one of the real daemon."""

    def __init__(self) -> None:
        self._last: dict[tuple[Who, bytes], tuple[bytes, bytes]] = {}

    def agree(self, who: Who, request: Request, real: Message, ours: Message) -> bool:
        """Whether both changed since this client last asked, or neither."""
        if request.type != Op.DIRECTORY_PART or real.type == ERROR or real.tx_id:
            return True
        path = request.payload.partition(b"\0")[0]
        generations = real.payload.partition(b"\0")[0], ours.payload.partition(b"\0")[0]
        before = self._last.setdefault((who, path), generations)
        self._last[who, path] = generations
        same_real, same_ours = (
            one == other for one, other in zip(before, generations, strict=True)
        )
        return same_real == same_ours
