"""RAM of an HVM domain that libxl has built and that has not run yet."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from handoff.addresses import FOUR_GIB, PAGE, Gpa, GpaRange, size_text
from handoff.e820 import E820Map
from handoff.errors import ConfigError, HypervisorError
from handoff.foreign_memory import ForeignMemory
from handoff.foreign_ram import ForeignRam
from handoff.guest_ram import FOREIGN_RAM, GuestRam
from handoff.platforms import MEMORY_MIN_BYTES, memory_map
from xenstore_sim.wire.names import DomId

HVM_INFO: Final = Gpa(0x9F800)
"""Where libxc leaves the table that tells hvmloader of RAM."""
_HVM_INFO: Final = struct.Struct("<8sIBBxxIIII")
"""signature, length, checksum, apic_mode, nr_vcpus, low_mem_pgend, reserved_mem_pgstart,
high_mem_pgend. Source: xen/include/public/hvm/hvm_info_table.h."""
_VGA_HOLE: Final = GpaRange.between(0xA0000, 0xC0000)
"""Never populated."""


@dataclass(frozen=True, slots=True)
class XenMemory:
    """Implements the port GuestMemory over foreign mappings."""

    ranges: tuple[GpaRange, ...]
    e820: E820Map
    ram: GuestRam
    fd: int | None = None

    @property
    def bytes(self) -> int:
        return sum(stretch.size for stretch in self.ranges)

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(
            word
            for stretch in self.ranges
            for word in (FOREIGN_RAM, f"{stretch.start:#x}:{stretch.size:#x}")
        )

    def populate(self, where: GpaRange) -> None:
        """Nothing to do: a domain's RAM was set aside when it was built."""


def domain_memory(memory: ForeignMemory, domid: DomId) -> XenMemory:
    """RAM of `domid`, from what libxc told hvmloader of it. memory: kept by the caller.

    Raises: HypervisorError if the domain is gone or was not built for HVM, ConfigError if it has
    too little of it.
    """
    where = GpaRange(HVM_INFO, _HVM_INFO.size)
    with memory.mapped(domid, where, writable=False) as view:
        raw = bytes(view)
    signature, length, *_, low_pages, _, high_pages = _HVM_INFO.unpack(raw)
    low_end, high_end = low_pages * PAGE, high_pages * PAGE
    sane = 0 < low_end < FOUR_GIB and (high_end == 0 or high_end > FOUR_GIB)
    if signature != b"HVM INFO" or length < _HVM_INFO.size or not sane:
        raise HypervisorError(
            f"domain {domid} has no hvm_info_table at {HVM_INFO:#x} (found {raw.hex()}): it is "
            "not HVM, or has run already"
        )
    if low_end < MEMORY_MIN_BYTES:
        raise ConfigError(
            f"memory: beside video memory the guest has {size_text(low_end)}, at least "
            f'{MEMORY_MIN_BYTES >> 20} MiB are needed: write a larger memory=, or vga="none"'
        )
    low = GpaRange.between(0, low_end).minus([_VGA_HOLE])
    high = (GpaRange.between(FOUR_GIB, high_end),) if high_end else ()
    size = low_end + sum(stretch.size for stretch in high)
    ranges = (*low, *high)
    return XenMemory(ranges, memory_map(size, Gpa(low_end)), ForeignRam(memory, domid, ranges))
