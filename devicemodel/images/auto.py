"""Looks at an image and chooses how it is started. The only door from bytes to a method."""

from __future__ import annotations

from devicemodel.images.linux import LinuxKernel, check_supported
from devicemodel.images.setup_header import HEAD_BYTES, is_linux, read_setup_header
from devicemodel.images.source import Image, ImageSlice
from handoff.descriptor import BootMethod
from handoff.errors import LayoutError

Kernel = LinuxKernel
"""Union of what can be started; one member a format."""


def recognise(image: Image, method: BootMethod) -> Kernel:
    """The kernel in `image`, read once into private memory as far as it is parsed.

    Raises: LayoutError if it is of no known format, or not of the one `method` demands.
    """
    head = image.read_at(0, min(HEAD_BYTES, image.size))
    if method is BootMethod.AUTO and not is_linux(head):
        raise LayoutError(
            "kernel header",
            0x202,
            f"{head[0x202:0x206].hex() or 'missing'}",
            'no known boot method: a Linux bzImage has "HdrS" there (48647253)',
        )
    return _linux(image, head)


def _linux(image: Image, head: bytes) -> LinuxKernel:
    header = read_setup_header(head, image.size)
    check_supported(header)
    # The header is taken from the same bytes that are placed later: one read, one copy.
    setup = head + image.read_at(len(head), header.setup_bytes - len(head))
    payload = ImageSlice(image, header.setup_bytes, image.size - header.setup_bytes)
    return LinuxKernel(header, setup, payload)
