"""The few calls of libxenctrl that a handoff needs, through ctypes.

The library's name has the release of the Xen it belongs to, which the running hypervisor tells;
the library is loaded when it is first asked for.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from handoff.errors import HypervisorError
from handoff.foreign_memory import load_library
from handoff.xen_logger import silent_logger
from xenstore_sim.wire.names import DomId

HYPERVISOR: Final = Path("/sys/hypervisor")
CAPABILITIES: Final = Path("/proc/xen/capabilities")
"""Has the word control_d in a domain that may control others."""

_INFO_BYTES: Final = 4096
"""More than xc_domaininfo_t takes in any release: only its beginning is read, which is the same
in all of them."""
_INFO: Final = struct.Struct("<HHI7QIII16s")
"""domain, flags, seven counts, three counts, handle. Source: xen/include/public/domctl.h,
struct xen_domctl_getdomaininfo."""
_DYING, _SHUTDOWN, _PAUSED = 1 << 0, 1 << 2, 1 << 3
_REASON_SHIFT, _REASON_MASK = 16, 0xFF


class Shutdown(IntEnum):
    """Why a domain shut down. Source: xen/include/public/sched.h."""

    POWEROFF = 0
    REBOOT = 1
    SUSPEND = 2
    CRASH = 3
    WATCHDOG = 4
    SOFT_RESET = 5


@dataclass(frozen=True, slots=True)
class DomainInfo:
    domid: DomId
    uuid: UUID
    paused: bool
    dying: bool
    shutdown: Shutdown | int | None
    """None while it has not shut down; a number where Xen knows more reasons than we"""


class Libxc:
    """A handle of the hypervisor's control interface."""

    def __init__(self, library: Any = None, *, sysfs: Path = HYPERVISOR) -> None:
        """library: for tests, what would be loaded. sysfs: where the kernel tells of Xen.

        Raises: HypervisorError if this is no Xen host, the library is missing, or it is not
        for us to control domains.
        """
        if library is None:
            version = running_version(sysfs)
            library = load_library(f"libxenctrl.so.{version}", f"libxenmisc{version}")
        self._library = library
        library.xc_interface_open.restype = ctypes.c_void_p
        library.xc_interface_open.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint]
        self._logger = silent_logger()
        handle = library.xc_interface_open(self._logger.address, self._logger.address, 0)
        if not handle:
            reason = os.strerror(ctypes.get_errno())
            raise HypervisorError(
                f"the hypervisor's control interface cannot be opened ({reason}): run as root in "
                "dom0, with the module xen-privcmd loaded"
            )
        self._handle = ctypes.c_void_p(handle)

    def close(self) -> None:
        """Nothing more can be asked; closing again does nothing."""
        if self._handle:
            self._library.xc_interface_close(self._handle)
            self._handle = ctypes.c_void_p(None)

    def domain(self, domid: DomId) -> DomainInfo | None:
        """What is known of a domain; None if there is none. Raises: HypervisorError."""
        info = self._first_from(domid)
        return info if info is not None and info.domid == domid else None

    def find(self, uuid: UUID) -> DomainInfo | None:
        """The domain of this uuid, if there is one. Raises: HypervisorError."""
        info = self._first_from(DomId(0))
        while info is not None and info.uuid != uuid:
            info = self._first_from(DomId(info.domid + 1))
        return info

    def unpause(self, domid: DomId) -> None:
        """Raises: HypervisorError."""
        self._call("unpause", domid, self._library.xc_domain_unpause)

    def set_target(self, stubdom: DomId, target: DomId) -> None:
        """From here on `stubdom` may map RAM of `target` and be its device model.

        Raises: HypervisorError."""
        set_target = self._library.xc_domain_set_target
        self._call("set_target", stubdom, set_target, ctypes.c_uint32(target))

    def _first_from(self, domid: DomId) -> DomainInfo | None:
        """The domain with the lowest domid from this one on."""
        buffer = ctypes.create_string_buffer(_INFO_BYTES)
        count = self._library.xc_domain_getinfolist(
            self._handle, ctypes.c_uint32(domid), ctypes.c_uint(1), buffer
        )
        if count < 0:
            raise _refused("ask for", domid, ctypes.get_errno())
        return _decoded(buffer.raw) if count else None

    def _call(self, what: str, domid: DomId, function: Any, *arguments: Any) -> None:
        if function(self._handle, ctypes.c_uint32(domid), *arguments) < 0:
            raise _refused(what, domid, ctypes.get_errno())


def running_version(sysfs: Path = HYPERVISOR) -> str:
    """`4.17`: of the hypervisor that runs. Raises: HypervisorError if that is not Xen."""
    try:
        kind = (sysfs / "type").read_text().strip()
        parts = [(sysfs / "version" / name).read_text().strip() for name in ("major", "minor")]
    except OSError as error:
        raise HypervisorError(
            f"{error.filename}: {error.strerror}: this is no Xen host: boot it under Xen, or take "
            "another --machine"
        ) from error
    if kind != "xen":
        raise HypervisorError(f"{sysfs}/type is {kind!r}, not xen: take another --machine")
    return ".".join(parts)


def require_dom0(capabilities: Path = CAPABILITIES) -> None:
    """Raises: HypervisorError in a domain that controls no others."""
    try:
        words = capabilities.read_text().split()
    except OSError as error:
        raise HypervisorError(
            f"{capabilities}: {error.strerror}: mount xenfs on /proc/xen, and run in dom0"
        ) from error
    if "control_d" not in words:
        raise HypervisorError(
            f"{capabilities} has no control_d: this domain controls no others, run in dom0"
        )


def _decoded(raw: bytes) -> DomainInfo:
    domid, _, flags, *_, handle = _INFO.unpack_from(raw)
    reason: Shutdown | int | None = None
    if flags & _SHUTDOWN:
        reason = flags >> _REASON_SHIFT & _REASON_MASK
        if reason in Shutdown.__members__.values():
            reason = Shutdown(reason)
    return DomainInfo(
        DomId(domid), UUID(bytes=handle), bool(flags & _PAUSED), bool(flags & _DYING), reason
    )


def _refused(what: str, domid: DomId, code: int) -> HypervisorError:
    if code == errno.ESRCH:
        return HypervisorError(f"domain {domid} is gone: something else destroyed it")
    name = f"{errno.errorcode.get(code, code)}, {os.strerror(code)}"
    return HypervisorError(f"Xen refused to {what} domain {domid} ({name})")
