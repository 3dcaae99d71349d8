"""libxenctrl as ctypes sees it: domains of a dictionary, for tests without Xen."""

from __future__ import annotations

import ctypes
import errno
import struct
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.contract.fake_xen import ForeignFunction, log


@dataclass
class FakeDomain:
    uuid: UUID
    pauses: int = 1
    flags: int = 0
    """more of XEN_DOMINF_*, and the shutdown reason"""
    target: int | None = None


class FakeLibxc:
    """Its domains, by domid; what is asked of another one is ESRCH."""

    def __init__(self) -> None:
        self.domains: dict[int, FakeDomain] = {}
        self.open_errno = 0
        self.refuses: int = 0
        """errno of whatever is asked of a domain that exists"""
        for name in ("interface_open", "interface_close", "domain_getinfolist"):
            self._export(name)
        for name in ("unpause", "set_target"):
            self._export(f"domain_{name}")

    def _export(self, name: str) -> None:
        setattr(self, f"xc_{name}", ForeignFunction(getattr(self, f"_{name}")))

    def _interface_open(self, logger: int | None, dom_logger: int | None, flags: int) -> int | None:
        self._logger = logger
        if self.open_errno:
            log(logger, "Could not obtain handle on privileged command interface")
        ctypes.set_errno(self.open_errno)
        return None if self.open_errno else 0x1CE

    def _interface_close(self, handle: Any) -> int:
        return 0

    def _domain_getinfolist(self, handle: Any, first: Any, count: Any, buffer: Any) -> int:
        if self.refuses:
            ctypes.set_errno(self.refuses)
            return -1
        later = sorted(domid for domid in self.domains if domid >= first.value)
        if not later:
            return 0
        domain = self.domains[later[0]]
        flags = domain.flags | 1 << 1 | (1 << 3 if domain.pauses else 0)
        head = struct.pack("<HHI7QIII", later[0], 0, flags, *[0] * 7, 1, 0, 0)
        ctypes.memmove(buffer, head + domain.uuid.bytes, len(head) + 16)
        return 1

    def _known(self, domid: Any) -> FakeDomain | None:
        if self.refuses:
            log(self._logger, "do_domctl failed")
        ctypes.set_errno(self.refuses or errno.ESRCH)
        return None if self.refuses else self.domains.get(domid.value)

    def _domain_unpause(self, handle: Any, domid: Any) -> int:
        if (domain := self._known(domid)) is None:
            return -1
        domain.pauses = max(0, domain.pauses - 1)
        return 0

    def _domain_set_target(self, handle: Any, domid: Any, target: Any) -> int:
        if (domain := self._known(domid)) is None:
            return -1
        domain.target = target.value
        return 0
