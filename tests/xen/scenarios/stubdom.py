"""A Linux stub domain whose only program is our device model."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.xen.project import STUBDOM_ARCHIVE

KERNEL: Final = Path("/guest/vmlinuz")
PACKAGES: Final = Path("/guest/stub.cpio.lz4")
RAMDISK: Final = Path("/run/stubdom.img")


def ramdisk() -> Path:
    """Its initramfs: the project's packages in front of Debian's."""
    if not RAMDISK.exists():
        RAMDISK.write_bytes(Path("/", STUBDOM_ARCHIVE).read_bytes() + PACKAGES.read_bytes())
    return RAMDISK
