"""Domains as the hypervisor knows them: the simulation of what libxc would be asked.

A domain here is a number and, for the guest, a memory file; it "runs" when a machine
was started over that file. A real Xen takes this port's place with libxenctrl.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from blake3 import blake3

from handoff.addresses import Gpa, GpaRange
from handoff.e820 import E820Map
from handoff.errors import ConfigError
from handoff.guest_ram import MemfdRam, RamRegion, create_ram_file, regions_for
from handoff.platforms import memory_map
from xenstore_sim.wire.names import DomId

DOMID_LIMIT = 0x7FF0
"""Domids of real domains are below this; Xen keeps the rest for itself."""


NO_MEMORY = frozenset({errno.ENOSPC, errno.ENOMEM})
"""What the host says when it has no page left for guest RAM."""


def no_memory(where: GpaRange, error: OSError) -> ConfigError:
    """The refusal for `error`, which is one of NO_MEMORY."""
    return ConfigError(
        f"memory: the host has none left for guest RAM at {where} ({error.strerror}): "
        "free some, or lower memory="
    )


@dataclass(frozen=True, slots=True)
class RamFile:
    """A guest's memory: the file, where it lies in the address space, and the map firmware
    will tell of. Implements the port GuestMemory."""

    fd: int
    """to be handed to processes that are not trusted with more than its bytes"""
    bytes: int
    regions: tuple[RamRegion, ...]
    e820: E820Map
    ram: MemfdRam

    @property
    def ranges(self) -> tuple[GpaRange, ...]:
        return tuple(region.range for region in self.regions)

    @property
    def words(self) -> tuple[str, ...]:
        """The device model's arguments that tell where RAM lies in the file."""
        return tuple(
            word
            for region in self.regions
            for word in (
                "--ram-region",
                f"{region.range.start:#x}:{region.range.size:#x}:{region.file_offset:#x}",
            )
        )

    def populate(self, where: GpaRange) -> None:
        """Has the host set memory aside for `where`. Raises: ConfigError if it has none."""
        try:
            self.ram.populate(where)
        except OSError as error:
            raise no_memory(where, error) from error


@contextmanager
def guest_memory(name: str, memory_bytes: int, low_limit: Gpa) -> Iterator[RamFile]:
    """Memory of a guest while the context lasts. Raises: ConfigError if the host has not
    so much."""
    regions = regions_for(memory_bytes, low_limit)
    with ExitStack() as stack:
        try:
            fd = create_ram_file(f"guest-ram-{name}", memory_bytes)
            stack.callback(os.close, fd)
            # Opened once more: position and flags of `fd` are also those of whoever is handed it.
            own = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, own)
            ram = MemfdRam(own, regions, hash_threads=blake3.AUTO)
            stack.callback(ram.close)
        except OSError as error:
            raise ConfigError(
                f"memory: the host gives no {memory_bytes >> 20} MiB ({error.strerror}): "
                "lower memory="
            ) from error
        yield RamFile(fd, memory_bytes, regions, memory_map(memory_bytes, low_limit), ram)


@dataclass(frozen=True, slots=True)
class Domain:
    domid: DomId
    uuid: UUID


@dataclass(slots=True)
class Hypervisor:
    """Hands out domids as Xen does: upwards, never one that is still in use."""

    in_use: set[DomId] = field(default_factory=set)
    _last: int = 0

    def create(self, identity: UUID | None = None) -> Domain:
        """A new domain. Raises: ConfigError when every domid is taken."""
        for _ in range(DOMID_LIMIT):
            self._last = self._last % (DOMID_LIMIT - 1) + 1
            domid = DomId(self._last)
            if domid not in self.in_use:
                self.in_use.add(domid)
                return Domain(domid, identity or uuid.uuid4())
        raise ConfigError("all domids are in use: run `toolstack cleanup`")

    def destroy(self, domid: DomId) -> None:
        self.in_use.discard(domid)
