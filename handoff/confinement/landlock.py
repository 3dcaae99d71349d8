"""Landlock with no exception: no file, no TCP port, no abstract socket or signal outside.

Source: Linux Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import NamedTuple

from handoff.confinement.layers import Layer, Outcome, State
from handoff.confinement.libc import describe, system_call
from handoff.confinement.syscalls import LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF

__all__ = ["LANDLOCK_LAYERS", "Ruleset", "forbid_everything", "ruleset_for"]

LANDLOCK_LAYERS = (Layer.LANDLOCK_FILES, Layer.LANDLOCK_TCP, Layer.LANDLOCK_SCOPES)

_CREATE_RULESET_VERSION = 1

# The file rights each ABI knows, as how many low bits of handled_access_fs it accepts: 1 the
# first thirteen, 2 refer, 3 truncate, 5 ioctl on devices.
_FILE_RIGHTS_BY_ABI = ((5, 16), (3, 15), (2, 14), (1, 13))
_TCP_SINCE_ABI = 4
_TCP_BIND_AND_CONNECT = 0b11
_SCOPES_SINCE_ABI = 6
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


class Ruleset(NamedTuple):
    """What is handled, and so refused, as no rule allows any of it (`landlock_ruleset_attr`)."""

    files: int
    tcp: int
    scopes: int

    def encode(self, abi: int) -> bytes:
        """The attribute, no longer than a kernel of `abi` knows it."""
        whole = struct.pack("<QQQ", self.files, self.tcp, self.scopes)
        if abi >= _SCOPES_SINCE_ABI:
            return whole
        return whole[:16] if abi >= _TCP_SINCE_ABI else whole[:8]


def ruleset_for(abi: int, layers: frozenset[Layer]) -> Ruleset:
    """The most that a kernel of `abi` enforces of `layers`. `abi` is at least 1."""
    bits = next(count for since, count in _FILE_RIGHTS_BY_ABI if abi >= since)
    tcp = abi >= _TCP_SINCE_ABI and Layer.LANDLOCK_TCP in layers
    scopes = abi >= _SCOPES_SINCE_ABI and Layer.LANDLOCK_SCOPES in layers
    return Ruleset(
        files=(1 << bits) - 1 if Layer.LANDLOCK_FILES in layers else 0,
        tcp=_TCP_BIND_AND_CONNECT if tcp else 0,
        scopes=_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if scopes else 0,
    )


def forbid_everything(layers: frozenset[Layer]) -> tuple[Outcome, ...]:
    """What came of each of the `layers` of Landlock; needs no_new_privs."""
    wanted = tuple(layer for layer in LANDLOCK_LAYERS if layer in layers)
    if not wanted:
        return ()
    try:
        abi = system_call(
            "landlock_create_ruleset", LANDLOCK_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION
        )
        ruleset = ruleset_for(abi, layers)
        if ruleset != Ruleset(0, 0, 0):
            _restrict(ruleset.encode(abi))
    except OSError as error:
        reason = _reason(error)
        return tuple(Outcome(layer, State.UNAVAILABLE, reason) for layer in wanted)
    return tuple(_outcome(layer, abi, ruleset) for layer in wanted)


def _restrict(attribute: bytes) -> None:
    buffer = ctypes.create_string_buffer(attribute, len(attribute))
    descriptor = system_call(
        "landlock_create_ruleset", LANDLOCK_CREATE_RULESET, buffer, len(attribute), 0
    )
    try:
        system_call("landlock_restrict_self", LANDLOCK_RESTRICT_SELF, descriptor, 0)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    match error.errno:
        case errno.ENOSYS:
            return "this kernel has no Landlock (Linux 5.13)"
        case errno.EOPNOTSUPP:
            return "Landlock is built in but not started: add it to the lsm= boot parameter"
        case _:
            return describe(error)


def _outcome(layer: Layer, abi: int, ruleset: Ruleset) -> Outcome:
    handled, since, what = {
        Layer.LANDLOCK_FILES: (ruleset.files, 1, f"no file, {ruleset.files.bit_count()} rights"),
        Layer.LANDLOCK_TCP: (ruleset.tcp, _TCP_SINCE_ABI, "no bind, no connect"),
        Layer.LANDLOCK_SCOPES: (
            *(ruleset.scopes, _SCOPES_SINCE_ABI),
            "no abstract socket, no signal outside",
        ),
    }[layer]
    if handled:
        return Outcome(layer, State.APPLIED, f"{what} (ABI {abi})")
    return Outcome(layer, State.UNAVAILABLE, f"needs Landlock ABI {since}, this kernel has {abi}")
