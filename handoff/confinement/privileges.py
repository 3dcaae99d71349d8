"""Ids and capabilities: an unprivileged user without groups, and no capability to regain any."""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass

from handoff.confinement.layers import Layer, Outcome, State
from handoff.confinement.libc import Buffer, describe, invoke, prctl

__all__ = ["Identity", "change_identity", "drop_capabilities"]

# The kernel's overflow id, which distributions name nobody.
_NOBODY = 65534

# Source: include/uapi/linux/prctl.h, capability.h, securebits.h.
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x2008_0522
_CAPABILITY_BITS = 64
# NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE set, KEEP_CAPS clear, all four locked.
_SECUREBITS = 0b1110_1111


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a process that started as root becomes. A uid of its own keeps stubdomains apart.

    uid, gid: 1 to 2^32 - 2.
    """

    uid: int = _NOBODY
    gid: int = _NOBODY

    def __post_init__(self) -> None:
        for name, value in (("uid", self.uid), ("gid", self.gid)):
            if not 0 < value < 0xFFFF_FFFF:
                raise ValueError(f"{name} {value} is not an unprivileged id: 1 to 4294967294")


def change_identity(identity: Identity) -> Outcome:
    """What came of becoming `identity`; a process that is not root stays who it is.

    Permitted capabilities are kept for the namespaces that come next, effective again;
    `drop_capabilities` ends them.
    """
    if os.geteuid() != 0 and os.getuid() != 0:
        # Groups stay: to drop them takes CAP_SETGID. No file can be reached by them later.
        detail = f"started as uid {os.getuid()}, gid {os.getgid()}"
        return Outcome(Layer.IDENTITY, State.APPLIED, detail)
    try:
        prctl("PR_SET_KEEPCAPS", _PR_SET_KEEPCAPS, 1)
        os.setgroups(())
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
        permitted = _read_capabilities()[1]
        _write_capabilities(effective=permitted, permitted=permitted)
    except OSError as error:
        return Outcome(Layer.IDENTITY, State.UNAVAILABLE, describe(error))
    detail = f"uid {identity.uid}, gid {identity.gid}, no groups"
    return Outcome(Layer.IDENTITY, State.APPLIED, detail)


def drop_capabilities() -> Outcome:
    """What came of emptying all five capability sets, and locking that as it is."""
    missing = []
    known = _drop_bounding_set()
    for step in (_lock_securebits, _empty_sets):
        try:
            step()
        except OSError as error:
            missing.append(describe(error))
    kept = sum(_in_bounding_set(capability) for capability in range(known))
    if kept:
        missing.append(f"bounding set keeps {kept}")
    if missing:
        return Outcome(Layer.CAPABILITIES, State.UNAVAILABLE, ", ".join(missing))
    return Outcome(Layer.CAPABILITIES, State.APPLIED, f"none of {known} in any set, locked")


def _lock_securebits() -> None:
    prctl("PR_SET_SECUREBITS", _PR_SET_SECUREBITS, _SECUREBITS)


def _empty_sets() -> None:
    prctl("PR_CAP_AMBIENT", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _write_capabilities(effective=0, permitted=0)


def _drop_bounding_set() -> int:
    """How many capabilities this kernel knows; as many as may be are out of the bounding set."""
    for capability in range(_CAPABILITY_BITS):
        try:
            prctl("PR_CAPBSET_READ", _PR_CAPBSET_READ, capability)
        except OSError:  # EINVAL: beyond the last one
            return capability
        try:
            prctl("PR_CAPBSET_DROP", _PR_CAPBSET_DROP, capability)
        except OSError:  # EPERM: seen and reported when the set is read back
            continue
    return _CAPABILITY_BITS


def _in_bounding_set(capability: int) -> int:
    return prctl("PR_CAPBSET_READ", _PR_CAPBSET_READ, capability)


def _capability_header() -> Buffer:
    return ctypes.create_string_buffer(struct.pack("<Ii", _CAPABILITY_VERSION_3, 0), 8)


def _read_capabilities() -> tuple[int, int, int]:
    """Effective, permitted and inheritable sets as bit masks."""
    data = ctypes.create_string_buffer(24)
    invoke("capget", _capability_header(), data)
    low, high = struct.unpack("<3I", data.raw[:12]), struct.unpack("<3I", data.raw[12:])
    effective, permitted, inheritable = (a | b << 32 for a, b in zip(low, high, strict=True))
    return effective, permitted, inheritable


def _write_capabilities(*, effective: int, permitted: int) -> None:
    """Raises: OSError. The inheritable set is emptied."""
    words = (
        *(effective & 0xFFFF_FFFF, permitted & 0xFFFF_FFFF, 0),
        *(effective >> 32, permitted >> 32, 0),
    )
    buffer = ctypes.create_string_buffer(struct.pack("<6I", *words), 24)
    invoke("capset", _capability_header(), buffer)
