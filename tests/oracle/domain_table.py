"""The hypervisor's domains, as the stub tells the daemon of them."""

import os
from enum import IntFlag
from pathlib import Path

DOMID_FIRST_RESERVED = 0x7FF0


class DomainState(IntFlag):
    """What stub/hypervisor.c finds in a domain's byte."""

    ABSENT = 0
    EXISTS = 1
    SHUT_DOWN = 2
    DYING = 4


class DomainTable:
    """A file of one byte a domain that the daemon has mapped: a change is seen at once."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._fd, DOMID_FIRST_RESERVED)

    def __getitem__(self, domid: int) -> DomainState:
        return DomainState(os.pread(self._fd, 1, self._offset(domid))[0])

    def __setitem__(self, domid: int, state: DomainState) -> None:
        os.pwrite(self._fd, bytes([state]), self._offset(domid))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    @staticmethod
    def _offset(domid: int) -> int:
        assert 0 <= domid < DOMID_FIRST_RESERVED, f"no domain can have the id {domid}"
        return domid
