"""What int 15h and int 12h say about memory, computed from the guest's E820 map."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from handoff.addresses import KIB, MIB
from handoff.e820 import E820Map

E820_RECORD_BYTES = 20
_SIXTEEN_MIB = 16 * MIB


@dataclass(frozen=True, slots=True)
class MemorySizes:
    """RAM from 1 MiB to the first hole above it."""

    above_1_mib: int
    """bytes"""

    @classmethod
    def of(cls, e820: E820Map) -> MemorySizes:
        end = MIB
        for ram in e820.ram():
            if ram.start <= end < ram.end:
                end = ram.end
        return cls(end - MIB)

    def kib_below_16_mib(self) -> int:
        """AX and CX of function E801h."""
        return min(self.above_1_mib, _SIXTEEN_MIB - MIB) // KIB

    def blocks_above_16_mib(self) -> int:
        """BX and DX of function E801h: units of 64 KiB."""
        return min(max(self.above_1_mib - (_SIXTEEN_MIB - MIB), 0) // (64 * KIB), 0xFFFF)

    def kib_of_function_88(self) -> int:
        """AX of function 88h, which tells at most 63 MiB."""
        return min(self.above_1_mib, 63 * MIB) // KIB


def e820_record(e820: E820Map, index: int) -> bytes:
    """Entry number `index` as function E820h stores it."""
    entry = e820.entries[index]
    return struct.pack("<QQI", entry.range.start, entry.range.size, entry.type)
