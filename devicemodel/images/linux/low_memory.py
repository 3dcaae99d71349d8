"""Where the real-mode part and the command line lie when the kernel is entered.

Both are below 640 KiB, which firmware uses until it enters the BIOS extension: they wait above
and are copied there at the BEV.
"""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.images.setup_header import SetupHeader
from handoff.addresses import Gpa, GpaRange


@dataclass(frozen=True, slots=True)
class LowMemory:
    """Addresses of the one segment that holds setup code, heap and stack."""

    base: Gpa
    """start of the real-mode part, or of boot_params where no setup code runs"""
    segment_bytes: int
    """what of the segment is the kernel's from the start: code, then heap and stack"""
    stack_top: int
    """SP at the entry, from `base`"""
    cmdline: Gpa

    @property
    def segment(self) -> GpaRange:
        return GpaRange(self.base, self.segment_bytes)

    @property
    def cmdline_offset(self) -> int:
        """The command line's place as a kernel before 2.02 is told: from the segment's start."""
        return self.cmdline - self.base


MODERN = LowMemory(Gpa(0x10000), 0x10000, 0xFFF0, Gpa(0x20000))
"""Since 2.02 setup code runs wherever it is: as low as possible, its segment its own."""
AT_576_KIB = LowMemory(Gpa(0x90000), 0x9800, 0x9800, Gpa(0x99800))
"""Setup code that runs at 0x90000 only, with the heap's end where the protocol's example has
it: the command line behind it stays clear of an EBDA from 0x9a000 on."""


def low_memory(header: SetupHeader) -> LowMemory:
    """The layout of this kernel.

    Before 2.02 setup code moves itself to 0x90000, command line and all, if it is elsewhere. A
    zImage of any version fills what is below.
    """
    return AT_576_KIB if header.version < 0x202 or header.is_zimage else MODERN
