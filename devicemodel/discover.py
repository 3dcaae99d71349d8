"""Stage 1: what the toolstack offers, as images the boot methods can read."""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.bios_extension.block import KNOWN_BLOCK
from devicemodel.guest_map import GuestMap
from devicemodel.images.firmware import FirmwareSources
from devicemodel.images.source import Image, Sources
from devicemodel.ram_image import RamImage
from handoff.addresses import PAGE
from handoff.descriptor import TABLES, Descriptor, Insert, Role, StagedImage
from handoff.descriptor_codec import decode_descriptor
from handoff.errors import DescriptorRefused
from handoff.guest_ram import GuestRam
from handoff.platforms import OPTION_ROM_AREA, Platform, Until, ranges


@dataclass(frozen=True, slots=True)
class Discovered:
    generation: int
    descriptor: Descriptor
    sources: Sources | FirmwareSources
    """the latter if and only if the descriptor boots firmware"""
    guest: GuestMap


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Files of the host that were opened before confinement (native)."""

    kernel: Image
    ramdisk: Image | None
    more_modules: tuple[Image, ...] = ()

    @property
    def images(self) -> tuple[Image, ...]:
        ramdisk = () if self.ramdisk is None else (self.ramdisk,)
        return (self.kernel, *ramdisk, *self.more_modules)


Native = HostFiles | FirmwareSources
"""What a device model that opens the host's files was given."""


def discover(frame: bytes, generation: int, ram: GuestRam, native: Native | None) -> Discovered:
    """The offer of attempt `generation` in `frame`.

    Raises: DescriptorRefused for a frame that does not decode, is of another attempt, or
    announces images where no image may be.
    """
    found, descriptor = decode_descriptor(frame)
    if found != generation:
        raise DescriptorRefused("frame.generation", f"is {found}, the state says {generation}")
    guest = GuestMap(descriptor.e820, descriptor.reserved)
    _check_map(guest)
    if descriptor.insert is Insert.PCI_ROM:
        _check_known_block(guest)
    if not OPTION_ROM_AREA.contains(descriptor.rom_window):
        raise DescriptorRefused(
            "window_start", f"{descriptor.rom_window} is not within {OPTION_ROM_AREA}"
        )
    if native is None:
        for index, image in enumerate(descriptor.images):
            conflict = guest.conflict(image.range, at_bev=False)
            if conflict is not None:
                raise DescriptorRefused(f"images[{index}]", f"{image.range}: {conflict}")
    elif descriptor.images:
        raise DescriptorRefused("images", "must be empty where host files are used")
    if descriptor.boots_firmware:
        sources: Sources | FirmwareSources = _firmware(descriptor, ram, native)
    else:
        sources = _kernel(descriptor, ram, native)
    return Discovered(generation, descriptor, sources, guest)


def _kernel(descriptor: Descriptor, ram: GuestRam, native: Native | None) -> Sources:
    """Raises: DescriptorRefused if there is none."""
    if isinstance(native, HostFiles):
        kernel, ramdisk, more = native.kernel, native.ramdisk, native.more_modules
        return Sources(kernel, ramdisk, descriptor.cmdline, more)
    image = _ram_image(descriptor, Role.KERNEL, ram)
    if image is None:
        raise DescriptorRefused("images", "no image has the role kernel")
    more = tuple(_image(staged, ram) for staged in descriptor.modules)
    return Sources(image, _ram_image(descriptor, Role.RAMDISK, ram), descriptor.cmdline, more)


def _firmware(descriptor: Descriptor, ram: GuestRam, native: Native | None) -> FirmwareSources:
    """Raises: DescriptorRefused if there is none."""
    if isinstance(native, FirmwareSources):
        return native
    bios = _ram_image(descriptor, Role.BIOS, ram)
    if bios is None:
        raise DescriptorRefused("images", "no image has the role bios")
    loader = _ram_image(descriptor, Role.FIRMWARE, ram)
    found = (_ram_image(descriptor, role, ram) for role in TABLES)
    return FirmwareSources(bios, loader, tuple(image for image in found if image is not None))


def _check_map(guest: GuestMap) -> None:
    """Raises: DescriptorRefused for a guest with no room for staging at all."""
    try:
        guest.staging  # noqa: B018  (built from addresses of the peer)
    except ValueError as error:
        raise DescriptorRefused("e820", f"leaves no staging area: {error}") from error
    if guest.low_ram_end % PAGE:
        raise DescriptorRefused("e820", f"low RAM ends at {guest.low_ram_end:#x}, not on a page")


def _check_known_block(guest: GuestMap) -> None:
    """Raises: DescriptorRefused if something else could lie where a fixed ROM looks for its
    parameter block: an image, or a part of the kernel that firmware does not keep away."""
    ram = any(where.contains(KNOWN_BLOCK) for where in guest.e820.ram())
    kept = any(where.contains(KNOWN_BLOCK) for where in ranges(guest.reserved, Until.BEV))
    if not (ram and kept):
        raise DescriptorRefused(
            "insert",
            f"{Insert.PCI_ROM.value} needs RAM at {KNOWN_BLOCK} within a range that is reserved "
            f"until the BEV, as on platform {Platform.XEN_HVM.value}",
        )


def _ram_image(descriptor: Descriptor, role: Role, ram: GuestRam) -> Image | None:
    staged = descriptor.image(role)
    return None if staged is None else _image(staged, ram)


def _image(staged: StagedImage, ram: GuestRam) -> Image:
    file = RamImage(ram, staged.range)
    return Image(staged.role, file, staged.range.size, staged.name, staged.arguments)
