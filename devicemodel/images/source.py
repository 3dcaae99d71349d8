"""Images as the boot methods see them: named file objects of a known size."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass

from devicemodel.ram_image import RamImage
from handoff.addresses import Gpa, GpaRange
from handoff.descriptor import Role
from handoff.errors import ImageError


@dataclass(frozen=True, slots=True)
class Image:
    """One image: a host file (native) or a RamImage (handoff)."""

    role: Role
    file: io.RawIOBase
    size: int
    """bytes, at least 1"""

    def read_at(self, offset: int, size: int) -> bytes:
        """The bytes [offset, offset + size), fewer only at the end of the image."""
        self.file.seek(offset)
        parts = []
        while size > 0:
            part = self.file.read(size)
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def whole(self) -> ImageSlice:
        return ImageSlice(self, 0, self.size)


@dataclass(frozen=True, slots=True)
class ImageSlice:
    """Bytes [offset, offset + size) of an image."""

    image: Image
    offset: int
    size: int

    @property
    def location(self) -> GpaRange | None:
        """Where the bytes lie in guest RAM, None for a host file."""
        if not isinstance(self.image.file, RamImage):
            return None
        return GpaRange(Gpa(self.image.file.range.start + self.offset), self.size)


@dataclass(frozen=True, slots=True)
class Sources:
    """All that a boot method is given to start a guest from."""

    kernel: Image
    ramdisk: Image | None
    cmdline: bytes


def host_image(role: Role, file: io.FileIO) -> Image:
    """`file` as an image. Raises: ImageError if it is empty or no regular file."""
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise ImageError(f"{role.value} is empty or not a regular file: name a file with content")
    return Image(role, file, size)
