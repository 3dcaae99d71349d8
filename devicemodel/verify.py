"""Stage 2: the bytes are the ones announced, and the kernel or firmware is one we can start."""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.discover import Discovered
from devicemodel.images.auto import Kernel, recognise
from devicemodel.images.firmware import FirmwareImages, FirmwareSources, read_firmware
from devicemodel.images.linux import LinuxKernel
from handoff.descriptor import Role
from handoff.errors import DigestMismatch
from handoff.guest_ram import GuestRam


@dataclass(frozen=True, slots=True)
class Verified:
    found: Discovered
    kernel: Kernel | FirmwareImages
    """parsed from a private copy: what is in RAM is not looked at again"""


def verify(found: Discovered, ram: GuestRam) -> Verified:
    """Raises: DigestMismatch for damaged images, LayoutError for a kernel or
    firmware of no use, ConfigError for firmware that the platform does not start."""
    for image in found.descriptor.images:
        digest = ram.digest(image.range)
        if digest != image.digest:
            raise DigestMismatch(image.role.value, str(image.range), image.digest, digest)
    if isinstance(found.sources, FirmwareSources):
        images = read_firmware(found.sources, found.descriptor.platform)
        for role, copied in images.digests():
            _check_copy(found, role, copied)
        return Verified(found, images)
    kernel = recognise(found.sources.kernel, found.descriptor.boot, found.guest.low_ram_end)
    # Of Linux only the setup code is copied: this shows when the rest has landed.
    if not isinstance(kernel, LinuxKernel):
        _check_copy(found, Role.KERNEL, kernel.digest)
    return Verified(found, kernel)


def _check_copy(found: Discovered, role: Role, copied: bytes) -> None:
    """The private copy that was parsed is what was announced. Raises: DigestMismatch."""
    announced = found.descriptor.image(role)
    if announced is not None and copied != announced.digest:
        where = f"the copy of {announced.range}"
        raise DigestMismatch(role.value, where, announced.digest, copied)
