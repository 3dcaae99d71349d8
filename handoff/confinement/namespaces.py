"""Namespaces of its own: an empty root directory, no network, no one else's IPC.

The pid namespace is apart, as it takes a fork: see pid_namespace.py.
"""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from handoff.confinement.layers import Layer, Outcome, State
from handoff.confinement.libc import describe, invoke

__all__ = ["NAMESPACE_LAYERS", "leave"]


class _Namespace(NamedTuple):
    flag_name: str
    flag: int  # Source: include/uapi/linux/sched.h
    detail: str


# The user namespace comes first: it grants the privilege that the others need.
_NAMESPACES = {
    Layer.USER_NAMESPACE: _Namespace("CLONE_NEWUSER", 0x1000_0000, "its own, no id mapped"),
    Layer.MOUNT_NAMESPACE: _Namespace("CLONE_NEWNS", 0x0002_0000, "its own, root is empty"),
    Layer.IPC_NAMESPACE: _Namespace("CLONE_NEWIPC", 0x0800_0000, "its own"),
    Layer.NET_NAMESPACE: _Namespace("CLONE_NEWNET", 0x4000_0000, "its own, no interface up"),
    Layer.UTS_NAMESPACE: _Namespace("CLONE_NEWUTS", 0x0400_0000, "its own"),
    Layer.CGROUP_NAMESPACE: _Namespace("CLONE_NEWCGROUP", 0x0200_0000, "its own"),
}
NAMESPACE_LAYERS = tuple(_NAMESPACES)

# Source: include/uapi/linux/mount.h.
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REC = 1 << 14
_MS_PRIVATE = 1 << 18
_MNT_DETACH = 2

# Directories that a Linux system has; the first that is there is covered and becomes the root.
_MOUNT_POINTS = ("/proc", "/dev", "/usr")


def leave(layer: Layer) -> Outcome:
    """What came of leaving the namespace that `layer` names, one of `NAMESPACE_LAYERS`."""
    namespace = _NAMESPACES[layer]
    try:
        _unshare(namespace)
        if layer is Layer.MOUNT_NAMESPACE:
            _empty_root()
    except OSError as error:
        return Outcome(layer, State.UNAVAILABLE, describe(error))
    return Outcome(layer, State.APPLIED, namespace.detail)


def _unshare(namespace: _Namespace) -> None:
    try:
        invoke("unshare", namespace.flag)
    except OSError as error:
        raise OSError(error.errno, f"unshare({namespace.flag_name})") from error


def _empty_root() -> None:
    """Makes an empty, read-only tmpfs the only file system of this mount namespace.

    Raises: OSError, naming the call.
    """
    point = next(path for path in (*_MOUNT_POINTS, "/") if os.path.isdir(path)).encode()
    # Private first: nothing done here may propagate to where we came from.
    invoke("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    invoke("mount", b"none", point, b"tmpfs", flags, b"size=4k,nr_inodes=1,mode=555")
    os.chdir(point)
    try:
        # Old and new root may be one directory: the old one is then stacked on top, and the
        # unmount takes it off. Source: pivot_root(2), section Notes.
        invoke("pivot_root", b".", b".")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # The initial ramfs cannot be pivoted away. Without a capability or a directory open
        # outside, neither of which is left at the end, a chroot cannot be escaped from.
        os.chroot(".")
    else:
        invoke("umount2", b".", _MNT_DETACH)
    os.chdir("/")
