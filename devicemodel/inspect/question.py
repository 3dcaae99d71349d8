"""What is asked: these files in such a guest. The first stages are done with host files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from devicemodel.discover import Discovered, HostFiles, Native, discover
from devicemodel.fw_cfg.option_roms import OptionRoms
from devicemodel.images.source import Image
from devicemodel.place import Plan, place
from devicemodel.verify import Verified, verify
from handoff.addresses import MIB, PAGE, Gpa, GpaRange, align_up
from handoff.descriptor import BootMethod, Descriptor, EntryMode, Insert, Subarch
from handoff.descriptor_codec import encode_descriptor
from handoff.errors import PlacementError
from handoff.guest_ram import GuestRam, MemfdRam, RamRegion, create_ram_file
from handoff.platforms import (
    ROM_WINDOW,
    Platform,
    low_ram_limit,
    memory_map,
    reservations,
    staging_window,
)

_GENERATION = 1


@dataclass(frozen=True, slots=True)
class Question:
    files: Native
    cmdline: bytes = b""
    platform: Platform = Platform.XEN_HVM
    memory_mib: int = 512
    boot: BootMethod = BootMethod.AUTO
    entry: EntryMode = EntryMode.AUTO
    subarch: Subarch = Subarch.PC
    roms: OptionRoms | None = None
    """QEMU's, if one of them is to start the kernel"""

    @property
    def subject(self) -> Image:
        """What was asked about."""
        return self.files.kernel if isinstance(self.files, HostFiles) else self.files.bios

    @property
    def memory_bytes(self) -> int:
        return self.memory_mib * MIB

    def descriptor(self) -> Descriptor:
        """What a toolstack would tell of this guest. Raises: ValueError for a cmdline too long."""
        e820 = memory_map(self.memory_bytes, low_ram_limit(self.platform, self.memory_bytes))
        return Descriptor(
            platform=self.platform,
            e820=e820,
            reserved=reservations(self.platform, e820),
            insert=Insert.WINDOW,
            rom_window=ROM_WINDOW,
            boot=self.boot,
            cmdline=self.cmdline,
            images=(),
            entry=self.entry,
            subarch=self.subarch,
        )


@contextmanager
def no_guest() -> Iterator[GuestRam]:
    """RAM for stages that take a guest's and, with host files, read nothing of it: one page."""
    page = RamRegion(GpaRange(Gpa(0), PAGE), 0)
    fd = create_ram_file("inspect", PAGE)
    try:
        ram = MemfdRam(fd, (page,))
    finally:
        # The mapping stays.
        os.close(fd)
    with closing(ram):
        yield ram


def found(question: Question, ram: GuestRam) -> Discovered:
    """The offer as the device model discovers it. Raises: DescriptorRefused."""
    frame = encode_descriptor(question.descriptor(), _GENERATION)
    return discover(frame, _GENERATION, ram, question.files)


def verified(question: Question, ram: GuestRam) -> Verified:
    """Raises: LayoutError, ImageError: the refusal of the image itself."""
    return verify(found(question, ram), ram)


def planned(question: Question, image: Verified, ram: GuestRam) -> Plan:
    """The plan for an image that was verified for this method, in the guest of `question`.

    Raises: ConfigError, PlacementError.
    """
    here = replace(image, found=found(question, ram))
    _check_staging(here.found)
    return place(here, question.roms).plan


def _check_staging(where: Discovered) -> None:
    """Raises: PlacementError for images that a toolstack finds no room for, which comes first."""
    images = where.sources.images
    size = sum(align_up(image.size, PAGE) for image in images)
    window = staging_window(where.descriptor.e820)
    if size > window.size:
        missing = align_up(size - window.size, MIB) // MIB
        raise PlacementError(
            f"images of {size:#x} bytes do not fit into the staging area {window}: "
            f"give the guest at least {missing} MiB more memory"
        )
