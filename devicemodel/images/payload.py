"""The ELF inside a packed kernel: of a bzImage, or of a file that is gzip'ed as a whole.

Both tell the unpacked size in their last four bytes. It is checked before a byte is unpacked, and
is then the size of the one buffer that is filled: a packed file costs itself and that buffer.
Source: Documentation/arch/x86/boot.rst in Linux, payload_offset and payload_length.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from devicemodel.images.compression import Damaged, Format, format_of, unpack
from devicemodel.images.setup_header import FIELDS, SetupHeader
from handoff.errors import LayoutError

UNPACKED_MAX_BYTES: Final = 1 << 30
"""Largest kernel unpacked, however much RAM the guest has; Xen's domain builder has the same."""
_SIZE: Final = struct.Struct("<I")
_KNOWN: Final = ", ".join(format.value for format in Format)


@dataclass(frozen=True, slots=True)
class Unpacked:
    data: memoryview
    """read-only, in one buffer"""
    packed: str
    """what it was found in, ` (gzip)`; empty if it was not packed"""


def unpack_bzimage(file: memoryview, header: SetupHeader, low_ram_bytes: int) -> Unpacked:
    """What a bzImage would unpack itself. Raises: LayoutError with the field that is wrong.

    file: all of it. low_ram_bytes: end of the guest's RAM below 4 GiB, which no kernel exceeds.
    """
    if header.version < FIELDS["payload_offset"].since:
        raise LayoutError(
            "kernel setup_header.version",
            FIELDS["version"].offset,
            f"{header.version:#x}",
            "payload_offset came with 2.08: start this kernel with --boot linux",
        )
    offset, length = (
        int(_SIZE.unpack_from(file, FIELDS[name].offset)[0])
        for name in ("payload_offset", "payload_length")
    )
    start = header.setup_bytes + offset
    if length <= _SIZE.size or start + length > len(file):
        raise LayoutError(
            "kernel setup_header.payload_length",
            FIELDS["payload_length"].offset,
            f"{length:#x} from payload_offset {offset:#x}",
            f"the file has {len(file) - header.setup_bytes:#x} bytes behind its setup code: "
            "start a kernel without payload with --boot linux",
        )
    packed = file[start : start + length]
    format = format_of(packed)
    if format is None:
        raise LayoutError(
            "kernel payload magic",
            start,
            bytes(packed[:8]).hex(),
            f"it is packed with none of {_KNOWN}: start it with --boot linux",
        )
    bounds = [("the end of the guest's RAM below 4 GiB", low_ram_bytes)]
    if header.init_size is not None:
        bounds.append(("setup_header.init_size", header.init_size))
    return _unpacked(packed, format, start, f" (bzImage, {format.value})", bounds)


def unpack_gzip(file: memoryview, low_ram_bytes: int) -> Unpacked:
    """A file that is gzip'ed as a whole, as Xen is installed. Raises: LayoutError."""
    if len(file) <= _SIZE.size:
        raise LayoutError("kernel gzip", 0, f"{len(file)} bytes", "it is cut short, copy it again")
    bounds = [("the end of the guest's RAM below 4 GiB", low_ram_bytes)]
    return _unpacked(file, Format.GZIP, 0, " (gzip)", bounds)


def _unpacked(
    packed: memoryview, format: Format, start: int, found_in: str, bounds: list[tuple[str, int]]
) -> Unpacked:
    """start: where `packed` lies in the file, for messages."""
    bounds.append(("the most that is unpacked", UNPACKED_MAX_BYTES))
    size_at = len(packed) - _SIZE.size
    size = int(_SIZE.unpack_from(packed, size_at)[0])
    why, most = min(bounds, key=lambda bound: bound[1])
    if not 0 < size <= most:
        raise LayoutError(
            f"kernel {format.value} unpacked size",
            start + size_at,
            f"{size:#x}",
            f"it must be 1 to {most:#x}, {why}",
        )
    # Only gzip counts the size as part of its stream.
    stream = packed if format is Format.GZIP else packed[:size_at]
    try:
        return Unpacked(unpack(stream, format, size), found_in)
    except Damaged as damaged:
        raise LayoutError(
            f"kernel {format.value} stream",
            start,
            f"{len(packed):#x} bytes long for {size:#x}",
            f"{damaged}: copy the kernel again",
        ) from damaged
