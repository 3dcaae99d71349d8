"""A Xen host without Xen: libxenctrl and libxenforeignmemory as ctypes sees them, and an xl."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from handoff.addresses import MIB, GpaRange
from tests.contract.fake_libxc import FakeDomain, FakeLibxc
from tests.contract.fake_xen import FakeForeignMemory, fake_domain
from toolstack.config.parser import parse
from toolstack.xen.memory import HVM_INFO
from toolstack.xen.xl import XlFailed

DOMID = 5
MEMORY_BYTES = 64 * MIB


def hvm_info(low_end: int, high_end: int = 0, signature: bytes = b"HVM INFO") -> bytes:
    """The table that libxc leaves for hvmloader."""
    pages = low_end >> 12, 0xFEFF8, high_end >> 12
    return struct.pack("<8sIBBxxIIII", signature, 48, 0, 1, 1, *pages)


@dataclass
class FakeXl:
    """An xl that builds domain DOMID in the fakes, and takes it away again."""

    libxc: FakeLibxc
    said: list[str] = field(default_factory=list)
    fails: str | None = None
    """its words where it builds nothing"""
    builds: bool = True
    stays: str | None = None
    """its words where it destroys nothing"""
    config: str = ""

    async def create_paused(self, config: str, lock: int) -> None:
        self.said.append("create")
        self.config = Path(config).read_text()  # noqa: ASYNC240  (a few bytes of a test's own)
        if self.fails is not None:
            raise XlFailed(f"`xl create` failed (status 3): {self.fails}")
        if self.builds:
            made = {s.name: str(s.value) for s in parse(self.config, "made").statements}
            self.libxc.domains[DOMID] = FakeDomain(UUID(made["uuid"]))

    async def destroy(self, domid: int, lock: int) -> None:
        self.said.append(f"destroy {domid}")
        if self.stays is not None:
            raise XlFailed(f"`xl destroy` failed (status 1): {self.stays}")
        del self.libxc.domains[domid]

    async def configuration(self, domid: int) -> str:
        self.said.append(f"list {domid}")
        return self.config


@dataclass
class FakeXen:
    libxc: FakeLibxc
    foreign: FakeForeignMemory
    xl: FakeXl
    directory: Path
    """in the place of /run/stubdom-direct-boot"""


@contextmanager
def fake_xen(table: bytes) -> Iterator[FakeXen]:
    """A host on which the next domain built has `table` for hvmloader."""
    libxc = FakeLibxc()
    libxc.domains[0] = FakeDomain(UUID(int=0), pauses=0)
    with (
        fake_domain(DOMID, (GpaRange.between(0, MIB),)) as foreign,
        tempfile.TemporaryDirectory() as directory,
    ):
        os.pwrite(foreign.fd, table, HVM_INFO)
        yield FakeXen(libxc, foreign, FakeXl(libxc), Path(directory, "base"))
