"""Linux stub domains: one whose only program is our device model, and one that has only busybox."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.xen.bed.recipe import BUSYBOX
from tests.xen.project import STUBDOM_ARCHIVE
from toolstack.images.cpio import archive, character_device, directory, regular

KERNEL: Final = Path("/guest/vmlinux")
"""Unpacked, which libxl would do for each domain anew."""
PACKAGES: Final = Path("/guest/stub.cpio.lz4")
RAMDISK: Final = Path("/run/stubdom.img")
SMALL_RAMDISK: Final = Path("/run/small.img")


def ramdisk() -> Path:
    """Its initramfs: the project's packages in front of Debian's."""
    if not RAMDISK.exists():
        RAMDISK.write_bytes(Path("/", STUBDOM_ARCHIVE).read_bytes() + PACKAGES.read_bytes())
    return RAMDISK


def keys(initramfs: Path | None = None) -> dict[str, object]:
    """What a guest's configuration says of it; initramfs: in the place of that of `ramdisk`."""
    return {
        "device_model_version": "qemu-xen",
        "device_model_stubdomain_override": 1,
        "stubdomain_kernel": str(KERNEL),
        "stubdomain_ramdisk": str(initramfs or ramdisk()),
    }


def small_ramdisk(init: str) -> Path:
    """An initramfs that is there in seconds; init: what its shell does, on the console."""
    script = f"#!/bin/busybox sh\nexec </dev/console >/dev/console 2>&1\n{init}"
    entries = (
        *(directory(name) for name in ("bin", "dev")),
        character_device("dev/console", 5, 1),
        regular("bin/busybox", Path("/", BUSYBOX).read_bytes(), 0o755),
        regular("init", script.encode(), 0o755),
    )
    SMALL_RAMDISK.write_bytes(archive(entries))
    return SMALL_RAMDISK
