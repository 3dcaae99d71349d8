"""The images the demo and the tests boot, and the Debian packages they come from."""

from __future__ import annotations

from dataclasses import dataclass

KERNEL = "vmlinuz"
BUSYBOX = "busybox"
INITRD = "initrd.img"


@dataclass(frozen=True, slots=True)
class PackagedImage:
    """An image that is a file of a Debian package."""

    name: str
    """file name in the cache"""
    package: str
    path: str
    """path in the package, without a leading slash; may end in `*`"""
    from_dependency: str | None = None
    """`package` is a metapackage, and the file is in the dependency with this prefix"""


PACKAGED = (
    PackagedImage(
        KERNEL, "linux-image-cloud-amd64", "boot/vmlinuz-*", from_dependency="linux-image-"
    ),
    PackagedImage(BUSYBOX, "busybox-static", "bin/busybox"),
    PackagedImage("memtest86+x64.bin", "memtest86+", "boot/memtest86+x64.bin"),
    PackagedImage("memtest86+ia32.bin", "memtest86+", "boot/memtest86+ia32.bin"),
    PackagedImage("ipxe.lkrn", "ipxe", "boot/ipxe.lkrn"),
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
