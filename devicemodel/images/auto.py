"""Looks at an image and chooses how it is started. The only door from bytes to a method.

Without a method from the operator the first that fits is taken, in QEMU's order:

1. Linux: a setup header, "HdrS" at 0x202;
2. multiboot: its header in the first 8192 bytes;
3. PVH: an ELF with a PHYS32_ENTRY note.

For the last two a file that is gzip'ed as a whole is unpacked first. A bzImage is also an ELF, the
one in its payload, if the operator asks for pvh.
"""

from __future__ import annotations

from blake3 import blake3

from devicemodel.images.compression import Format, format_of
from devicemodel.images.elf import is_elf, read_elf
from devicemodel.images.linux import LinuxKernel, check_supported
from devicemodel.images.multiboot import MultibootKernel, multiboot_kernel, without_header
from devicemodel.images.multiboot_header import find_header, multiboot_2_offset
from devicemodel.images.payload import UNPACKED_MAX_BYTES, Unpacked, unpack_bzimage, unpack_gzip
from devicemodel.images.pvh import PvhKernel, pvh_kernel, without_note
from devicemodel.images.setup_header import HEAD_BYTES, is_linux, read_setup_header
from devicemodel.images.source import Image, ImageSlice
from handoff.descriptor import BootMethod
from handoff.errors import ImageError, LayoutError

Kernel = LinuxKernel | PvhKernel | MultibootKernel
"""What can be started; one member a method."""


def recognise(image: Image, method: BootMethod, low_ram_bytes: int = UNPACKED_MAX_BYTES) -> Kernel:
    """The kernel in `image`, read once into private memory as far as it is parsed.

    low_ram_bytes: end of the guest's RAM below 4 GiB, a bound of what is read and unpacked.
    Raises: LayoutError if it is of no known format, or not of the one `method` demands;
    ImageError if it is larger than the guest.
    """
    head = image.read_at(0, min(HEAD_BYTES, image.size))
    if method is BootMethod.LINUX or (method is BootMethod.AUTO and is_linux(head)):
        return _linux(image, head)
    if image.size > low_ram_bytes:
        raise ImageError(
            f"{image.role.value} has {image.size:#x} bytes, the guest's RAM below 4 GiB ends at "
            f"{low_ram_bytes:#x}: give the guest more memory"
        )
    file = image.private_copy()
    digest = blake3(file).digest()
    if method is BootMethod.PVH and is_linux(bytes(file[:HEAD_BYTES])):
        header = read_setup_header(bytes(file[:HEAD_BYTES]), len(file))
        return _pvh(unpack_bzimage(file, header, low_ram_bytes), digest)
    packed = format_of(file[:8])
    inner = unpack_gzip(file, low_ram_bytes) if packed is Format.GZIP else Unpacked(file, "")
    if method is BootMethod.PVH:
        return _pvh(inner, digest)
    header_1 = find_header(inner.data)
    if header_1 is not None:
        return multiboot_kernel(inner.data, header_1, digest, inner.packed)
    if method is BootMethod.MULTIBOOT or multiboot_2_offset(inner.data) is not None:
        raise without_header(inner.data)
    if is_elf(inner.data):
        return _pvh(inner, digest)
    raise _unknown(head, packed)


def _linux(image: Image, head: bytes) -> LinuxKernel:
    header = read_setup_header(head, image.size)
    check_supported(header, image.size - header.setup_bytes)
    # The header is taken from the same bytes that are placed later: one read, one copy.
    setup = head + image.read_at(len(head), header.setup_bytes - len(head))
    payload = ImageSlice(image, header.setup_bytes, image.size - header.setup_bytes, setup)
    return LinuxKernel(header, setup, payload)


def _pvh(inner: Unpacked, digest: bytes) -> PvhKernel:
    kernel = pvh_kernel(read_elf(inner.data), digest, inner.packed)
    if kernel is None:
        raise without_note()
    return kernel


def _unknown(head: bytes, packed: Format | None) -> LayoutError:
    if packed is not None:
        return LayoutError(
            "kernel magic",
            0,
            f"{head[:6].hex()}, {packed.value}",
            "only gzip is unpacked around a whole kernel: unpack it first",
        )
    return LayoutError(
        "kernel header",
        0x202,
        f"{head[0x202:0x206].hex() or 'missing'}",
        'no known boot method: a Linux bzImage has "HdrS" there (48647253), a multiboot kernel '
        "0x1badb002 in its first 8192 bytes, and a kernel for pvh is an ELF (7f454c46)",
    )
