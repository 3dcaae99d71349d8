"""Guests and boot images made byte by byte, for tests that must know every one of them."""

from __future__ import annotations

import io
import os
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from blake3 import blake3

from devicemodel.discover import HostFiles
from devicemodel.images.source import Image, host_image
from handoff.addresses import FOUR_GIB, MIB, Gpa, GpaRange
from handoff.descriptor import (
    BootMethod,
    Descriptor,
    EntryMode,
    Insert,
    Role,
    StagedImage,
    Subarch,
)
from handoff.e820 import E820Map
from handoff.guest_ram import MemfdRam, RamRegion, create_ram_file, regions_for
from handoff.platforms import (
    ROM_WINDOW,
    Platform,
    low_ram_limit,
    memory_map,
    reservations,
)

POISON = 0xCC
"""What guest RAM holds before anything is loaded: int3. Never zero, which executes as a slide
of harmless instructions and reads as an absent field."""


V = TypeVar("V")
E = TypeVar("E", bound=Exception)


def outcome(act: Callable[[], V], refusal: type[E]) -> V | E:
    """What `act` gives, or the refusal it ends with; any other exception is the test's."""
    try:
        return act()
    except refusal as refused:
        return refused


def noise(size: int, seed: int) -> bytes:
    """`size` bytes that look like nothing else, the same for the same seed."""
    return random.Random(seed).randbytes(size)


@dataclass(frozen=True, slots=True)
class BzImage:
    """A bzImage that nobody can run, with every header field a parameter.

    Bytes of fields that `version` does not have are noise, as they are in real images.
    Source: Linux x86 boot protocol, "The Real-Mode Kernel Header".
    """

    version: int = 0x20F
    setup_sects: int = 5
    loadflags: int = 0x01  # LOADED_HIGH
    code32_start: int = 0x100000
    initrd_addr_max: int = 0x7FFFFFFF
    kernel_alignment: int = 0x200000
    relocatable_kernel: int = 1
    min_alignment: int = 21
    xloadflags: int = 0x0009  # 64-bit entry; nothing above initrd_addr_max
    cmdline_size: int = 2047
    pref_address: int = 0x1000000
    init_size: int = 0x50000
    payload_bytes: int = 0x12345
    boot_flag: int = 0xAA55
    magic: bytes = b"HdrS"
    jump: int = 0x6AEB  # jmp +0x6a: the header ends at 0x26c
    setup_data: int = 0
    payload_offset: int = 0
    payload_length: int = 0
    seed: int = 1

    @property
    def setup_bytes(self) -> int:
        return ((self.setup_sects or 4) + 1) * 512

    def build(self) -> bytes:
        """The file: boot sector and setup code, then the protected-mode part.

        Version 0 has no header at all, only the boot sector's fields.
        """
        image = bytearray(noise(self.setup_bytes + self.payload_bytes, self.seed))
        syssize = -(-self.payload_bytes // 16)
        for offset, since, form, value in (
            (0x1F1, 0x000, "<B", self.setup_sects),  # 512-byte sectors, 0 means 4
            (0x1F4, 0x000, "<H", syssize & 0xFFFF),  # protected-mode part, 16-byte units
            (0x1F4, 0x204, "<I", syssize),
            (0x1FE, 0x000, "<H", self.boot_flag),
            (0x200, 0x200, "<H", self.jump),
            (0x202, 0x001, "4s", self.magic),
            (0x206, 0x001, "<H", self.version),
            (0x210, 0x200, "<B", 0x00),  # type_of_loader, for the loader to write
            (0x211, 0x200, "<B", self.loadflags),
            (0x214, 0x200, "<I", self.code32_start),
            (0x218, 0x200, "<I", 0),  # ramdisk_image
            (0x21C, 0x200, "<I", 0),  # ramdisk_size
            (0x224, 0x201, "<H", 0x5BE0),  # heap_end_ptr
            (0x228, 0x202, "<I", 0),  # cmd_line_ptr
            (0x22C, 0x203, "<I", self.initrd_addr_max),
            (0x230, 0x205, "<I", self.kernel_alignment),
            (0x234, 0x205, "<B", self.relocatable_kernel),
            (0x235, 0x20A, "<B", self.min_alignment),  # log2
            (0x236, 0x20C, "<H", self.xloadflags),
            (0x238, 0x206, "<I", self.cmdline_size),
            (0x23C, 0x207, "<I", 0),  # hardware_subarch
            (0x240, 0x207, "<Q", 0),  # hardware_subarch_data
            (0x248, 0x208, "<I", self.payload_offset),
            (0x24C, 0x208, "<I", self.payload_length),
            (0x250, 0x209, "<Q", self.setup_data),
            (0x258, 0x20A, "<Q", self.pref_address),
            (0x260, 0x20A, "<I", self.init_size),
        ):
            if since <= self.version and offset + struct.calcsize(form) <= len(image):
                struct.pack_into(form, image, offset, value)
        return bytes(image)

    def setup(self) -> bytes:
        """The real-mode part of the file."""
        return self.build()[: self.setup_bytes]

    def payload(self) -> bytes:
        """The protected-mode part of the file."""
        return self.build()[self.setup_bytes :]


RELOCATABLE = BzImage()
FIXED = BzImage(
    version=0x20C,
    relocatable_kernel=0,
    kernel_alignment=0x1000,
    pref_address=0x100000,
    init_size=0x40000,
    initrd_addr_max=0xFFFFFFFF,
    cmdline_size=255,
    seed=2,
)
"""Runs at 1 MiB and nowhere else, as memtest86+ says of itself."""
RAMDISK = noise(0xA321, 3)


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest of `memory_bytes`, all of its RAM poisoned."""

    platform: Platform
    memory_bytes: int
    e820: E820Map
    regions: tuple[RamRegion, ...]
    ram: MemfdRam

    def descriptor(
        self,
        images: Sequence[StagedImage],
        *,
        cmdline: bytes = b"console=ttyS0 nokaslr",
        insert: Insert = Insert.WINDOW,
        boot: BootMethod = BootMethod.AUTO,
        entry: EntryMode = EntryMode.AUTO,
        subarch: Subarch = Subarch.PC,
    ) -> Descriptor:
        """What a toolstack would tell of this guest."""
        return Descriptor(
            platform=self.platform,
            e820=self.e820,
            reserved=reservations(self.platform, self.e820),
            insert=insert,
            rom_window=ROM_WINDOW,
            boot=boot,
            cmdline=cmdline,
            images=tuple(images),
            entry=entry,
            subarch=subarch,
        )

    def stage(self, role: Role, content: bytes, at: int) -> StagedImage:
        """Loads `content` at `at`, as a toolstack does."""
        self.ram.write(Gpa(at), content)
        where = GpaRange(Gpa(at), len(content))
        return StagedImage(role, where, blake3(content).digest())

    def poisoned(self, where: GpaRange) -> bool:
        """Whether `where` holds what it held before anything was loaded."""
        return self.ram.read(where) == bytes([POISON]) * where.size


@contextmanager
def poisoned_guest(
    platform: Platform = Platform.QEMU_PC, memory_bytes: int = 64 * MIB
) -> Iterator[Guest]:
    """A fresh guest while the context lasts."""
    limit = low_ram_limit(platform, memory_bytes)
    regions = regions_for(memory_bytes, limit)
    with small_ram(regions) as ram:
        yield Guest(platform, memory_bytes, memory_map(memory_bytes, limit), regions, ram)


@contextmanager
def small_ram(regions: Sequence[RamRegion]) -> Iterator[MemfdRam]:
    """Poisoned RAM of just these regions."""
    size = max(region.file_offset + region.range.size for region in regions)
    fd = create_ram_file("test", size)
    try:
        poison_file(fd, size)
        with closing(MemfdRam(fd, regions)) as ram:
            yield ram
    finally:
        os.close(fd)


def poison_file(fd: int, size: int) -> None:
    """Fills the memory file `fd`, `size` bytes long."""
    # Written, not mapped and filled: that would cost a page fault for every page.
    poison = bytes([POISON]) * MIB
    for at in range(0, size, MIB):
        os.pwrite(fd, poison[: size - at], at)


@contextmanager
def host_file(content: bytes, size: int | None = None) -> Iterator[io.FileIO]:
    """A file of the host with `content`; its length is `size`, the rest a hole."""
    with io.FileIO(os.memfd_create("image", os.MFD_CLOEXEC), "r+") as file:
        file.write(content)
        file.truncate(len(content) if size is None else size)
        file.seek(0)
        yield file


@contextmanager
def host_files(kernel: bytes, ramdisk: bytes | None) -> Iterator[HostFiles]:
    """Opened host files, as the device model has them in native mode."""
    with ExitStack() as stack:

        def opened(role: Role, content: bytes) -> Image:
            return host_image(role, stack.enter_context(host_file(content)))

        yield HostFiles(
            opened(Role.KERNEL, kernel),
            None if ramdisk is None else opened(Role.RAMDISK, ramdisk),
        )


def two_regions(low_pages: int, high_pages: int) -> tuple[RamRegion, ...]:
    """Few pages at 0 and few at 4 GiB, which a real guest has only when it is large."""
    low, high = low_pages * 0x1000, high_pages * 0x1000
    return (
        RamRegion(GpaRange(Gpa(0), low), 0),
        RamRegion(GpaRange(FOUR_GIB, high), low),
    )
