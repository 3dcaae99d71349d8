"""Images as the boot methods see them: named file objects of a known size."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass

from devicemodel.ram_image import RamImage
from handoff.addresses import Gpa, GpaRange
from handoff.descriptor import Role
from handoff.errors import ImageError

_COPY_BYTES = 1 << 20
"""Read at a time: what a copy needs beside itself."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image: a host file (native) or a RamImage (handoff)."""

    role: Role
    file: io.RawIOBase
    size: int
    """bytes, at least 1"""
    name: bytes = b""
    """of the file, without its folder: what a kernel is told in front of a command line"""
    arguments: bytes = b""
    """its own command line, without NUL"""

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

    def private_copy(self) -> memoryview:
        """All of it, read-only, in one buffer that nobody else can change.

        Raises: ImageError if a host file has become shorter.
        """
        content = memoryview(bytearray(self.size))
        self.file.seek(0)
        done = 0
        while done < self.size:
            count = self.file.readinto(content[done : done + _COPY_BYTES])
            if not count:
                raise ImageError(
                    f"{self.role.value} ends after {done} of {self.size} bytes: it was cut while "
                    "it was read"
                )
            done += count
        return content.toreadonly()

    def whole(self) -> ImageSlice:
        return ImageSlice(self, 0, self.size)


@dataclass(frozen=True, slots=True)
class ImageSlice:
    """Bytes [offset, offset + size) of an image."""

    image: Image
    offset: int
    size: int
    before: bytes = b""
    """the bytes in front of it, as they were parsed; they go elsewhere"""

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
    more_modules: tuple[Image, ...] = ()
    """named behind the ramdisk"""

    @property
    def images(self) -> tuple[Image, ...]:
        return (self.kernel, *self.modules)

    @property
    def modules(self) -> tuple[Image, ...]:
        """The ramdisk and what is named behind it, for methods that take several."""
        return self.more_modules if self.ramdisk is None else (self.ramdisk, *self.more_modules)


def host_image(role: Role, file: io.FileIO, name: bytes = b"", arguments: bytes = b"") -> Image:
    """`file` as an image. Raises: ImageError if it is empty or no regular file."""
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise ImageError(f"{role.value} is empty or not a regular file: name a file with content")
    return Image(role, file, size, name, arguments)
