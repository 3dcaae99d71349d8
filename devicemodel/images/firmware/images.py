"""The images of a boot without a kernel, as offered and as read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from devicemodel.images.elf import ElfFile, footprint, read_elf
from devicemodel.images.firmware.bios import Bios, read_bios
from devicemodel.images.source import Image
from handoff.addresses import MIB
from handoff.descriptor import Role
from handoff.errors import ConfigError, LayoutError
from handoff.platforms import Platform

LOADER_MAX_BYTES: Final = 16 * MIB
"""Of hvmloader, as a file and in memory; it has 200 KiB."""


@dataclass(frozen=True, slots=True)
class FirmwareSources:
    """What is offered, files of the host or bytes in guest RAM."""

    bios: Image
    loader: Image | None
    """hvmloader; None where the platform starts the BIOS itself"""
    tables: tuple[Image, ...] = ()
    """for hvmloader, roles and order of TABLES"""

    @property
    def images(self) -> tuple[Image, ...]:
        loader = () if self.loader is None else (self.loader,)
        return (self.bios, *loader, *self.tables)


@dataclass(frozen=True, slots=True)
class Loader:
    """hvmloader: an ELF that is entered in 32 bits; its segments are views of a private copy."""

    elf: ElfFile
    digest: bytes
    """BLAKE3 of the image's bytes that were parsed"""


@dataclass(frozen=True, slots=True)
class FirmwareImages:
    """What can be started."""

    bios: Bios
    loader: Loader | None
    tables: tuple[Image, ...] = ()
    """opaque here: hvmloader reads them"""

    def digests(self) -> Iterator[tuple[Role, bytes]]:
        """Of the private copies that were parsed."""
        yield Role.BIOS, self.bios.digest
        if self.loader is not None:
            yield Role.FIRMWARE, self.loader.digest


def read_firmware(sources: FirmwareSources, platform: Platform) -> FirmwareImages:
    """What `platform` starts, each image read once into private memory.

    Raises: LayoutError for images of no use, ConfigError for those that `platform` has no use for.
    """
    if platform is Platform.XEN_HVM and sources.loader is None:
        raise ConfigError(
            "no firmware to start on xen-hvm: hvmloader brings the BIOS up there: name it, or take "
            "--platform qemu-pc"
        )
    if platform is Platform.QEMU_PC and (sources.loader is not None or sources.tables):
        what = "firmware" if sources.loader is not None else sources.tables[0].role.value
        raise ConfigError(
            f"{what}: a qemu-pc starts its BIOS by itself: take the {what} away, or take "
            "--platform xen-hvm"
        )
    loader = None if sources.loader is None else _read_loader(sources.loader)
    return FirmwareImages(read_bios(sources.bios, platform), loader, sources.tables)


def _read_loader(image: Image) -> Loader:
    if image.size > LOADER_MAX_BYTES:
        raise _too_large("firmware size", image.size)
    file = image.private_copy()
    elf = read_elf(file, Role.FIRMWARE.value)
    whole = footprint(elf.segments)
    if whole.size > LOADER_MAX_BYTES:
        raise _too_large("firmware ELF segments", whole.size)
    if elf.segment_at(elf.entry) is None:
        raise LayoutError(
            "firmware ELF e_entry", 0x18, f"{elf.entry:#x}", f"no segment has it, they are {whole}"
        )
    return Loader(elf, blake3(file).digest())


def _too_large(field: str, size: int) -> LayoutError:
    return LayoutError(
        field, 0, f"{size:#x} bytes", f"at most {LOADER_MAX_BYTES:#x}: name Xen's hvmloader"
    )
