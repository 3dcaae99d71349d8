"""How firmware that was handed over is started in the guest's machine."""

from __future__ import annotations

from dataclasses import dataclass

from handoff.addresses import Gpa, GpaRange
from handoff.descriptor import Role

BIOS_MAX_BYTES = 16 << 20
"""Largest BIOS: [4 GiB - 16 MiB, 4 GiB) is free of all else."""
BIOS_UNIT_BYTES = 64 << 10
"""What the size of a BIOS is a multiple of."""


@dataclass(frozen=True, slots=True)
class BiosRom:
    """As the machine's BIOS: the vCPU starts at its reset vector, f000:fff0."""

    range: GpaRange
    """all of it in guest RAM; the machine maps it up to 4 GiB, and its end up to 1 MiB"""


@dataclass(frozen=True, slots=True)
class DirectEntry:
    """In guest RAM, where it lies: the vCPU starts in it, 32-bit, flat, paging off."""

    eip: Gpa
    ebx: Gpa
    """hvm_start_info"""
    acpi: GpaRange | None = None
    """ACPI tables for hvmloader, which learns of them in xenstore"""
    smbios: GpaRange | None = None
    """SMBIOS structures, likewise"""

    @property
    def tables(self) -> tuple[tuple[Role, GpaRange], ...]:
        """Those it has."""
        both = ((Role.ACPI, self.acpi), (Role.SMBIOS, self.smbios))
        return tuple((role, where) for role, where in both if where is not None)


Firmware = BiosRom | DirectEntry
