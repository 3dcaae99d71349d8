"""Kernel modules of a stub domain, loaded as its root can: in Python, without a program."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from handoff.confinement.libc import system_call

_FOLDER = Path("/usr/lib/modules", os.uname().release, "kernel/drivers/xen")
_FINIT_MODULE, _DELETE_MODULE = 313, 176
"""Of x86-64, as is Xen's PV."""
_COMPRESSED = 4
"""MODULE_INIT_COMPRESSED_FILE. Source: Linux include/uapi/linux/module.h."""
PRIVCMD = "xen-privcmd"


def load(name: str, parameters: str = "") -> None:
    """Raises: OSError, of which FileNotFoundError if the initramfs has no such file."""
    found = sorted(_FOLDER.glob(f"{name}.ko*"))
    if not found:
        raise FileNotFoundError(2, "no such module", name)
    fd = os.open(found[0], os.O_RDONLY | os.O_CLOEXEC)
    try:
        flags = 0 if found[0].suffix == ".ko" else _COMPRESSED
        words = ctypes.create_string_buffer(parameters.encode())
        system_call("finit_module", _FINIT_MODULE, fd, words, flags)
    finally:
        os.close(fd)


def load_again_without_limit() -> None:
    """Linux's privcmd, which then passes on whatever Xen lets through; nobody may have it open.

    Raises: OSError.
    """
    name = ctypes.create_string_buffer(PRIVCMD.replace("-", "_").encode())
    system_call("delete_module", _DELETE_MODULE, name, os.O_NONBLOCK)
    load(PRIVCMD, "unrestricted=1")


def load_what_is_there(*names: str) -> None:
    """Those that the initramfs has and the kernel takes."""
    for name in names:
        with contextlib.suppress(OSError):
            load(name)
