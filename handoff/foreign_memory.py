"""Frames of another domain mapped into this process: libxenforeignmemory, through ctypes.

The library is loaded when it is first asked for, so that nothing here needs Xen to be imported.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from handoff.addresses import PAGE, GpaRange, size_text
from handoff.errors import HypervisorError, RamAccessError
from handoff.xen_logger import silent_logger
from xenstore_sim.wire.names import DomId

SONAME: Final = "libxenforeignmemory.so.1"
PACKAGE: Final = "libxenforeignmemory1"
"""Debian's, which has the library."""
DEVICES: Final = ("/dev/xen/privcmd", "/proc/xen/privcmd")
"""What the library opens, in this order."""

_NO_RAM: Final = {
    errno.EINVAL: "is not RAM of it now: a hole of its memory map, or given back by its balloon",
    errno.ENOENT: "is paged out",
}


def load_library(soname: str, package: str) -> Any:
    """The shared library. Raises: HypervisorError naming it and Debian's package."""
    try:
        return ctypes.CDLL(soname, use_errno=True)
    except OSError as error:
        raise HypervisorError(
            f"{soname} cannot be loaded ({error}): install it (Debian: {package})"
        ) from error


class ForeignMemory:
    """A handle with which this process maps frames of other domains.

    It opens its device when it is made and nothing later, so a process may confine itself to
    mmap, munmap and one ioctl of that device.
    """

    def __init__(self, library: Any = None) -> None:
        """library: for tests, what would be loaded.

        Raises: HypervisorError if there is no such library, no Xen, or no permission.
        """
        if library is None:
            library = load_library(SONAME, PACKAGE)
            _require_device()
        self._library = library
        _declare(self._library)
        self._logger = silent_logger()
        handle = self._library.xenforeignmemory_open(self._logger.address, 0)
        if not handle:
            raise _not_opened(ctypes.get_errno())
        self._handle = ctypes.c_void_p(handle)

    def close(self) -> None:
        """Nothing more can be mapped with it; closing again does nothing."""
        if self._handle:
            self._library.xenforeignmemory_close(self._handle)
            self._handle = ctypes.c_void_p(None)

    def descriptors(self) -> tuple[int, ...]:
        """The descriptors of the device that this process holds: the library tells of none."""
        found = []
        for entry in Path("/proc/self/fd").iterdir():
            try:
                if os.readlink(entry) in DEVICES:
                    found.append(int(entry.name))
            except FileNotFoundError:
                continue  # the descriptor of this very listing
        return tuple(sorted(found))

    def restrict(self, domid: DomId) -> None:
        """From here on the handle maps frames of `domid` and of nobody else, for good.

        Raises: HypervisorError if the kernel cannot (Linux can since 4.11).
        Source: Linux drivers/xen/privcmd.c, IOCTL_PRIVCMD_RESTRICT.
        """
        if self._library.xenforeignmemory_restrict(self._handle, domid) < 0:
            reason = os.strerror(ctypes.get_errno())
            raise HypervisorError(
                f"the handle for guest RAM cannot be restricted to domain {domid} ({reason}): "
                "run a kernel that has IOCTL_PRIVCMD_RESTRICT (Linux 4.11 or later)"
            )

    @contextmanager
    def mapped(self, domid: DomId, where: GpaRange, *, writable: bool) -> Iterator[memoryview]:
        """The bytes of `where` of domain `domid`, while the context lasts.

        Raises: RamAccessError if a frame of it is not RAM; HypervisorError if the domain is
        gone, this process may not map it, or nothing more can be mapped.
        """
        first = where.start // PAGE
        count = (where.end - 1) // PAGE - first + 1
        frames = (ctypes.c_uint64 * count)(*range(first, first + count))
        errors = (ctypes.c_int * count)()
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        address = self._library.xenforeignmemory_map(
            self._handle, domid, protection, count, frames, errors
        )
        if not address:
            raise _refused(domid, where, ctypes.get_errno())
        try:
            for number, code in enumerate(errors):
                if code:
                    raise _frame_refused(domid, where, first + number, -code, errors)
            start = address + where.start % PAGE
            view = memoryview((ctypes.c_ubyte * where.size).from_address(start)).cast("B")
            try:
                yield view if writable else view.toreadonly()
            finally:
                view.release()
        finally:
            self._library.xenforeignmemory_unmap(self._handle, address, count)


def _declare(library: Any) -> None:
    """Argument types, as pointers would be cut to ints. Source: xenforeignmemory.h, VERS_1.1."""
    pointer, count = ctypes.c_void_p, ctypes.c_size_t
    library.xenforeignmemory_open.restype = pointer
    library.xenforeignmemory_open.argtypes = [pointer, ctypes.c_uint]
    library.xenforeignmemory_close.argtypes = [pointer]
    library.xenforeignmemory_restrict.argtypes = [pointer, ctypes.c_uint16]
    library.xenforeignmemory_map.restype = pointer
    library.xenforeignmemory_map.argtypes = [
        *(pointer, ctypes.c_uint32, ctypes.c_int, count),
        *(ctypes.POINTER(ctypes.c_uint64), ctypes.POINTER(ctypes.c_int)),
    ]
    library.xenforeignmemory_unmap.argtypes = [pointer, pointer, count]


def _require_device() -> None:
    """Raises: HypervisorError, with the device in it: the library's errno does not tell which."""
    codes = []
    for device in DEVICES:
        try:
            os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
            return
        except OSError as error:
            codes.append(error.errno or 0)
    raise _not_opened(codes[0])


def _not_opened(code: int) -> HypervisorError:
    device, reason = DEVICES[0], os.strerror(code)
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return HypervisorError(
            f"{device}: {reason}: this is no domain of a Xen host, or the module xen-privcmd is "
            "not loaded"
        )
    return HypervisorError(f"{device}: {reason}: run as root, in dom0 or in a stub domain")


def _refused(domid: DomId, where: GpaRange, code: int) -> HypervisorError:
    """For a call that failed as a whole; errno is of Linux, or what the first frame met."""
    what = f"{size_text(where.size)} of domain {domid} at {where}"
    name = f"{errno.errorcode.get(code, code)}, {os.strerror(code)}"
    match code:
        case errno.ESRCH:
            return _gone(domid)
        case errno.EPERM | errno.EACCES:
            return HypervisorError(
                f"this process may not map {what} ({name}): domain {domid} is not its target"
            )
        case _:
            return HypervisorError(f"{what} cannot be mapped ({name})")


def _frame_refused(
    domid: DomId, where: GpaRange, frame: int, code: int, errors: ctypes.Array[ctypes.c_int]
) -> RamAccessError | HypervisorError:
    """For a call that worked, but not for every frame; errno is Xen's."""
    if code == errno.ESRCH:
        return _gone(domid)
    if code not in _NO_RAM:
        return _refused(domid, where, code)
    bad = sum(1 for error in errors if error)
    return RamAccessError(
        f"frame {frame:#x} of domain {domid} {_NO_RAM[code]} ({errno.errorcode[code]}; "
        f"{bad} of the {len(errors)} frames of {where}): create the domain anew, and leave its "
        "balloon alone until the guest runs"
    )


def _gone(domid: DomId) -> HypervisorError:
    return HypervisorError(
        f"domain {domid} is gone (ESRCH): something else destroyed it, create it again"
    )
