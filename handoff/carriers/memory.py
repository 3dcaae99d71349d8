"""The frame as bytes in guest RAM, at a known location.

By default it is the 32 KiB below 2 MiB: hvmloader and a small firmware end well below, and
no image is staged there. `frame-gpa` and `frame-size` in xenstore name it all the same, so
that a platform where they are taken can use another place.
"""

from __future__ import annotations

from handoff.addresses import AddressError, Gpa, GpaRange
from handoff.errors import DescriptorRefused, RamAccessError
from handoff.frame import FRAME_MAX_BYTES
from handoff.guest_ram import GuestRam

KNOWN_LOCATION = Gpa(0x1F8000)
"""Default address of the frame; FRAME_MAX_BYTES fit below 2 MiB."""
assert KNOWN_LOCATION + FRAME_MAX_BYTES == 0x200000


def store(frame: bytes, ram: GuestRam, at: Gpa = KNOWN_LOCATION) -> GpaRange:
    """Writes `frame` to guest RAM. Raises: RamAccessError."""
    ram.write(at, frame)
    return GpaRange(at, len(frame))


def fetch(ram: GuestRam, at: int, size: int) -> bytes:
    """The frame at a place named by the peer. Raises: DescriptorRefused."""
    if not 1 <= size <= FRAME_MAX_BYTES:
        raise DescriptorRefused("frame-size", f"is {size}, must be 1 to {FRAME_MAX_BYTES}")
    try:
        return ram.read(GpaRange(Gpa(at), size))
    except (AddressError, RamAccessError) as error:
        raise DescriptorRefused("frame-gpa", f"is {at:#x}: {error}") from error
