"""Closes every descriptor that was not meant for this process."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from handoff.confinement.layers import ConfinementError, Layer, Outcome, State
from handoff.confinement.libc import describe, system_call
from handoff.confinement.syscalls import CLOSE_RANGE

__all__ = ["close_all_but", "close_everything", "gaps", "require_harmless"]

_LAST_FD = 0xFFFF_FFFF
_STANDARD_STREAMS = 3


def gaps(keep: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """The ranges, both ends included, of all descriptors not in `keep`."""
    ranges = []
    first = 0
    for fd in sorted(set(keep)):
        if fd > first:
            ranges.append((first, fd - 1))
        first = fd + 1
    ranges.append((first, _LAST_FD))
    return tuple(ranges)


def require_harmless(keep_fds: frozenset[int]) -> None:
    """Nothing. Raises: ConfinementError when one of `keep_fds` is not open, or is a directory.

    From a directory that is open, every path below and above it could be reached.
    """
    for fd in sorted(keep_fds):
        try:
            mode = os.fstat(fd).st_mode
        except OSError as error:
            raise ConfinementError(
                f"descriptor {fd} is to be kept, but is not open: {os.strerror(error.errno or 0)}"
            ) from error
        if stat.S_ISDIR(mode):
            raise ConfinementError(
                f"descriptor {fd} is to be kept, but is a directory: pass open files instead"
            )


def close_all_but(keep_fds: frozenset[int]) -> Outcome:
    """What came of closing all but `keep_fds`.

    A standard stream that is not kept becomes /dev/null instead: its number would otherwise go to
    the next descriptor opened, and Python's own messages into that.
    """
    standard = frozenset(range(_STANDARD_STREAMS))
    try:
        _discard(standard - keep_fds)
        for first, last in gaps(keep_fds | standard):
            system_call("close_range", CLOSE_RANGE, first, last, 0)
    except OSError as error:
        return Outcome(Layer.DESCRIPTORS, State.UNAVAILABLE, describe(error))
    kept = ", ".join(map(str, sorted(keep_fds)))
    return Outcome(Layer.DESCRIPTORS, State.APPLIED, f"only {kept or 'none'} of those inherited")


def close_everything() -> None:
    """Nothing stays open, standard streams included. Raises: OSError."""
    system_call("close_range", CLOSE_RANGE, 0, _LAST_FD, 0)


def _discard(fds: frozenset[int]) -> None:
    if not fds:
        return
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in fds - {null}:
        os.dup2(null, fd)
    if null not in fds:
        os.close(null)
