"""Boot plans for guests that exist only as a map: nothing is read but the setup code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from devicemodel.guest_map import GuestMap
from devicemodel.images.auto import recognise
from devicemodel.images.linux import LinuxKernel, LinuxTarget, plan_linux
from devicemodel.images.source import Sources, host_image
from devicemodel.plan import BootPlan
from handoff.addresses import MIB
from handoff.descriptor import BootMethod, EntryMode, Role, Subarch
from handoff.platforms import Platform, low_ram_limit, memory_map, reservations
from tests.builders import RAMDISK, BzImage, host_file

ROM_BYTES = 0xA00
CMDLINE = b"console=ttyS0 nokaslr"


def guest_map(platform: Platform, memory_bytes: int = 64 * MIB) -> GuestMap:
    e820 = memory_map(memory_bytes, low_ram_limit(platform, memory_bytes))
    return GuestMap(e820, reservations(platform, e820))


@contextmanager
def sources(
    image: BzImage, ramdisk_size: int | None = len(RAMDISK), cmdline: bytes = CMDLINE
) -> Iterator[Sources]:
    """Host files of these sizes; what is beyond the setup code is a hole."""
    small = replace(image, payload_bytes=1)
    with host_file(small.build(), image.setup_bytes + image.payload_bytes) as kernel:
        if ramdisk_size is None:
            yield Sources(host_image(Role.KERNEL, kernel), None, cmdline)
            return
        with host_file(b"", ramdisk_size) as ramdisk:
            images = host_image(Role.KERNEL, kernel), host_image(Role.RAMDISK, ramdisk)
            yield Sources(*images, cmdline)


def planned(
    image: BzImage,
    platform: Platform = Platform.QEMU_PC,
    *,
    guest: GuestMap | None = None,
    ramdisk_size: int | None = len(RAMDISK),
    cmdline: bytes = CMDLINE,
    entry: EntryMode = EntryMode.AUTO,
    subarch: Subarch = Subarch.PC,
) -> BootPlan:
    with sources(image, ramdisk_size, cmdline) as found:
        kernel = recognise(found.kernel, BootMethod.LINUX)
        assert isinstance(kernel, LinuxKernel)
        target = LinuxTarget(platform, entry, subarch)
        return plan_linux(kernel, found, guest or guest_map(platform), target, ROM_BYTES)
