"""Stage 2: the bytes are the ones announced, and the kernel is one we can start."""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.discover import Discovered
from devicemodel.images.auto import Kernel, recognise
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
    return Verified(found, recognise(found.sources.kernel, found.descriptor.boot))
