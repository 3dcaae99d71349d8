"""Descriptors that dom0's clients leave for domains: a full daemon must still let these connect."""

import resource
from typing import Final

_RESERVED_MAX: Final = 64
_RESERVED_SHARE: Final = 8
"""Of a small bound an eighth is reserved."""
_OWN: Final = 16
"""Of the daemon itself: standard streams, lock, log, epoll sets, the privileged socket."""
_PER_CONNECTION: Final = 1
_MORE_PER_RING: Final = 4
"""Page, its mapping, two doorbells."""
_PER_DOMAIN: Final = 2
"""Where it connects, and where it gets its ring."""


class DescriptorReserve:
    """Judges by what is open; a program around the daemon that opens much is not seen."""

    def __init__(self) -> None:
        bound, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._usable = bound - min(_RESERVED_MAX, bound // _RESERVED_SHARE) - _OWN

    def left(self, *, connections: int, rings: int, domains: int) -> bool:
        """Whether the reserve is whole after one more client. connections: rings, too."""
        used = _PER_CONNECTION * connections + _MORE_PER_RING * rings + _PER_DOMAIN * domains
        return used < self._usable
