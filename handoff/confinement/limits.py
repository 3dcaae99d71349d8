"""Resource limits: bounds on what a confined process can use up, soft and hard alike."""

from __future__ import annotations

import os
import resource
from typing import NamedTuple

from handoff.confinement.layers import Layer, Outcome, State

__all__ = ["Limit", "address_space_for", "limits_for", "set_limits"]

# Beside what it was given: an event loop's own, and the duplicate each mapping takes.
_DESCRIPTOR_HEADROOM = 64
# Beside the first thread: an emulation engine's timer, a few workers of the event loop.
_THREADS = 16
# The interpreter with its libraries, and the bounded buffers of the decoders.
_PROGRAM_BYTES = 2 << 30


class Limit(NamedTuple):
    """One limit; `value` in the unit setrlimit(2) gives for it."""

    name: str
    resource: int
    value: int


def address_space_for(ram_bytes: int) -> int:
    """RLIMIT_AS, bytes, of a process that maps guest RAM once and holds no more than its
    contents beside it, as a device model does that unpacks an image."""
    return 2 * ram_bytes + _PROGRAM_BYTES


def limits_for(
    *,
    highest_fd: int,
    threads: bool,
    address_space_bytes: int | None,
    counted_alone: bool,
) -> tuple[Limit, ...]:
    """The limits to set.

    highest_fd: highest descriptor in use. counted_alone: whether RLIMIT_NPROC counts this process
    alone, as in a user namespace of its own; else it counts every task of the same user, and only
    the bound 0 means something.

    RLIMIT_FSIZE is not among them: it would also stop a log that is a file and pwrite to RAM.
    """
    limits = [
        Limit("core", resource.RLIMIT_CORE, 0),
        Limit("nofile", resource.RLIMIT_NOFILE, highest_fd + 1 + _DESCRIPTOR_HEADROOM),
        Limit("memlock", resource.RLIMIT_MEMLOCK, 0),
        Limit("msgqueue", resource.RLIMIT_MSGQUEUE, 0),
        Limit("rtprio", resource.RLIMIT_RTPRIO, 0),
        Limit("nice", resource.RLIMIT_NICE, 0),
    ]
    if not threads:
        limits.append(Limit("nproc", resource.RLIMIT_NPROC, 0))
    elif counted_alone:
        limits.append(Limit("nproc", resource.RLIMIT_NPROC, 1 + _THREADS))
    if address_space_bytes is not None:
        limits.append(Limit("as", resource.RLIMIT_AS, address_space_bytes))
    return tuple(limits)


def set_limits(limits: tuple[Limit, ...]) -> Outcome:
    """What came of lowering every one of `limits`; a limit that is lower already stays."""
    applied, refused = [], []
    for limit in limits:
        hard = resource.getrlimit(limit.resource)[1]
        value = limit.value if hard == resource.RLIM_INFINITY else min(limit.value, hard)
        try:
            resource.setrlimit(limit.resource, (value, value))
        except (OSError, ValueError) as error:
            refused.append(f"{limit.name}={value}: {_reason(error)}")
        else:
            applied.append(f"{limit.name}={value}")
    if refused:
        return Outcome(Layer.RLIMITS, State.UNAVAILABLE, ", ".join(refused))
    return Outcome(Layer.RLIMITS, State.APPLIED, " ".join(applied))


def _reason(error: OSError | ValueError) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
