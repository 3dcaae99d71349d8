"""The guests of `toolstack demo`: one that is built in, and Debian's Linux."""

from __future__ import annotations

import os

from handoff.errors import ImageError
from toolstack import images
from toolstack.builtin_guest import COMMAND_LINE, initrd_path, kernel_path
from toolstack.config import GuestConfig

LINUX_COMMAND_LINE = "console=ttyS0 quiet loglevel=0 nokaslr greeting=from-the-toolstack"


def builtin_guest() -> GuestConfig:
    """A guest that tells what it was given, and powers off."""
    return GuestConfig(
        name="builtin-demo",
        memory_mib=64,
        kernel=os.fspath(kernel_path()),
        ramdisk=os.fspath(initrd_path()),
        cmdline=COMMAND_LINE,
        device_model_stubdomain_override=True,
    )


def linux_guest() -> GuestConfig:
    """A Debian kernel with a small initrd. Raises: ImageError before `make images`."""
    kernel, ramdisk = images.locate("vmlinuz"), images.locate("initrd.img")
    if kernel is None or ramdisk is None:
        raise ImageError(
            "the Debian kernel and its initrd are not in the cache yet: run `make images`"
        )
    return GuestConfig(
        name="linux-demo",
        memory_mib=512,
        kernel=os.fspath(kernel),
        ramdisk=os.fspath(ramdisk),
        cmdline=LINUX_COMMAND_LINE,
        device_model_stubdomain_override=True,
    )
