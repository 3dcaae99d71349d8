"""A Linux kernel that can be started: its header, and the two parts of its file."""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.images.linux.placement import FIXED_BASE
from devicemodel.images.setup_header import FIELDS, ZIMAGE_MAX_BYTES, SetupHeader
from devicemodel.images.source import ImageSlice
from handoff.errors import LayoutError


@dataclass(frozen=True, slots=True)
class LinuxKernel:
    """A verified kernel: the header, and the one private copy of the setup code."""

    header: SetupHeader
    setup: bytes
    payload: ImageSlice
    """the protected-mode part"""


def check_supported(header: SetupHeader, payload_bytes: int) -> None:
    """Raises: LayoutError for a kernel that contradicts the boot protocol.

    payload_bytes: size of the protected-mode part.
    """
    if header.is_zimage and payload_bytes > ZIMAGE_MAX_BYTES:
        raise LayoutError(
            "kernel setup_header.loadflags",
            FIELDS["loadflags"].offset,
            f"{header.loadflags:#x} with {payload_bytes:#x} bytes behind the setup code",
            f"a zImage has at most {ZIMAGE_MAX_BYTES:#x} there: build a bzImage",
        )
    if not header.relocatable and (header.pref_address or FIXED_BASE) < FIXED_BASE:
        raise LayoutError(
            "kernel setup_header.pref_address",
            FIELDS["pref_address"].offset,
            f"{header.pref_address:#x}",
            "a kernel runs at 1 MiB or above: setup code and command line are below",
        )
