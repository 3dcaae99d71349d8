"""The place QEMU gives a ramdisk: as high as kernel and firmware's tables allow."""

from __future__ import annotations

from typing import Final

from devicemodel.guest_map import GuestMap
from handoff.addresses import MIB, PAGE, Gpa, GpaRange, align_down
from handoff.errors import DoesNotFit

ACPI_DATA_BYTES: Final = 0x28000
"""What QEMU keeps below the end of low RAM for firmware's tables."""
LOWEST: Final = Gpa(MIB)


def ramdisk_range(size: int, limit: int, guest: GuestMap) -> GpaRange:
    """Where a ramdisk of `size` bytes goes.

    limit: first address that the kernel cannot reach. Raises: DoesNotFit.
    """
    last = min(limit, guest.low_ram_end - ACPI_DATA_BYTES) - 1
    start = align_down(max(last - size, 0), PAGE)
    if start < LOWEST:
        raise DoesNotFit(
            f"ramdisk needs {size:#x} bytes between {LOWEST:#x} and {last + 1:#x}",
            "give the guest more memory",
        )
    return GpaRange(Gpa(start), size)
