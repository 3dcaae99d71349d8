"""The images the demo and the tests boot, and the Debian packages they come from."""

from __future__ import annotations

from dataclasses import dataclass

KERNEL = "vmlinuz"
BUSYBOX = "busybox"
INITRD = "initrd.img"
KERNEL_FULL = "vmlinuz-amd64"
"""With drivers for hardware of every kind, where KERNEL has those of clouds."""
XEN = "xen.gz"
"""The hypervisor itself, a multiboot kernel."""
KERNEL_I386 = "vmlinuz-i386"
BUSYBOX_I386 = "busybox-i386"


@dataclass(frozen=True, slots=True)
class PackagedImage:
    """An image that is a file of a Debian package."""

    name: str
    """file name in the cache"""
    package: str
    """as apt names it: with `:ARCHITECTURE` where it is not this machine's"""
    path: str
    """path in the package, without a leading slash; may end in `*`"""
    from_dependency: str | None = None
    """`package` is a metapackage, and the file is in the dependency with this prefix"""

    @property
    def architecture(self) -> str | None:
        """The foreign architecture, None for this machine's."""
        return self.package.partition(":")[2] or None


PACKAGED = (
    PackagedImage(
        KERNEL, "linux-image-cloud-amd64", "boot/vmlinuz-*", from_dependency="linux-image-"
    ),
    PackagedImage(BUSYBOX, "busybox-static", "bin/busybox"),
    PackagedImage("memtest86+x64.bin", "memtest86+", "boot/memtest86+x64.bin"),
    PackagedImage("memtest86+ia32.bin", "memtest86+", "boot/memtest86+ia32.bin"),
    PackagedImage("ipxe.lkrn", "ipxe", "boot/ipxe.lkrn"),
    PackagedImage(XEN, "xen-hypervisor-4.17-amd64", "boot/xen-4.17-amd64.gz"),
    PackagedImage(
        KERNEL_FULL, "linux-image-amd64", "boot/vmlinuz-*", from_dependency="linux-image-"
    ),
    PackagedImage(
        KERNEL_I386, "linux-image-686:i386", "boot/vmlinuz-*", from_dependency="linux-image-"
    ),
    PackagedImage(BUSYBOX_I386, "busybox-static:i386", "bin/busybox"),
)

IMAGE_NAMES = (*(image.name for image in PACKAGED), INITRD)
"""Every image `build` makes; INITRD is built from BUSYBOX."""


@dataclass(frozen=True, slots=True)
class PackageVersion:
    package: str
    version: str

    def __str__(self) -> str:
        """As in the name of a package file, where an epoch's colon is escaped."""
        return f"{self.package}_{self.version.replace(':', '%3a')}"
