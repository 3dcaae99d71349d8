"""Stage 2: the bytes are the ones announced, and the kernel is one we can start."""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.discover import Discovered
from devicemodel.images.auto import Kernel, recognise
from devicemodel.images.linux import LinuxKernel
from handoff.descriptor import Role
from handoff.errors import DigestMismatch
from handoff.guest_ram import GuestRam


@dataclass(frozen=True, slots=True)
class Verified:
    found: Discovered
    kernel: Kernel
    """parsed from a private copy: what is in RAM is not looked at again"""


def verify(found: Discovered, ram: GuestRam) -> Verified:
    """Raises: DigestMismatch for damaged images, LayoutError for a kernel of no use."""
    for image in found.descriptor.images:
        digest = ram.digest(image.range)
        if digest != image.digest:
            raise DigestMismatch(image.role.value, str(image.range), image.digest, digest)
    kernel = recognise(found.sources.kernel, found.descriptor.boot, found.guest.low_ram_end)
    _check_copy(found, kernel)
    return Verified(found, kernel)


def _check_copy(found: Discovered, kernel: Kernel) -> None:
    """The private copy that was parsed is what was announced; of Linux, which has but the setup
    code in one, this shows when the rest has landed. Raises: DigestMismatch."""
    announced = found.descriptor.image(Role.KERNEL)
    if announced is None or isinstance(kernel, LinuxKernel):
        return
    if kernel.digest != announced.digest:
        where = f"the copy of {announced.range}"
        raise DigestMismatch(Role.KERNEL.value, where, announced.digest, kernel.digest)
