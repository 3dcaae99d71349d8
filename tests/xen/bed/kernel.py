"""A kernel as libxl starts it soonest in a PV domain."""

from __future__ import annotations

from devicemodel.images.payload import UNPACKED_MAX_BYTES, unpack_bzimage
from devicemodel.images.setup_header import read_setup_header
from handoff.errors import LayoutError
from tests.xen.bed.errors import BedError


def unpacked(bzimage: bytes) -> bytes:
    """The ELF inside, as extract-vmlinux of the Linux sources writes it. Raises: BedError.

    libxl unpacks a bzImage for each domain anew, in dom0.
    """
    try:
        header = read_setup_header(bzimage, len(bzimage))
        return bytes(unpack_bzimage(memoryview(bzimage), header, UNPACKED_MAX_BYTES).data)
    except LayoutError as error:
        raise BedError(f"Debian's kernel cannot be unpacked: {error}") from error
