"""Stage "loaded": opaque images copied into guest RAM, with lengths and digests.

Nothing here looks inside an image: what the guest's owner supplied is parsed by the device
model alone. Both ways in give the same bytes: through a small buffer, as a toolstack on a real
Xen has to, and inside the kernel, where guest RAM is a file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from blake3 import blake3

from handoff.addresses import FOUR_GIB, MIB, PAGE, Gpa, GpaRange, align_down, align_up
from handoff.descriptor import Role, StagedImage
from handoff.e820 import E820Map
from handoff.errors import ImageError, PlacementError
from handoff.guest_ram import GuestRam, MemfdRam
from handoff.platforms import staging_window
from toolstack.hypervisor import NO_MEMORY, no_memory

BUFFER_BYTES = 64 * 1024
_KERNEL_STEP = 16 * MIB
"""Bytes of an in-kernel copy between two looks at progress and cancellation."""

Progress = Callable[[Role, int, int], None]
"""Called with role, bytes done and bytes in all; may raise to stop the load."""


class LoadMethod(Enum):
    BUFFER = "buffer"
    """read into a buffer of BUFFER_BYTES, written through the GuestRam port"""
    KERNEL = "kernel"
    """copied file to file by the kernel"""


@dataclass(frozen=True, slots=True)
class ImageFile:
    role: Role
    path: Path
    arguments: str = ""
    """its own command line"""


@dataclass(frozen=True, slots=True)
class OpenImage:
    file: ImageFile
    fd: int
    size: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """Images in guest RAM, in the order they were named; the digest is of what was read."""

    images: tuple[StagedImage, ...]

    @property
    def bytes(self) -> int:
        return sum(image.range.size for image in self.images)


@contextmanager
def open_images(files: Sequence[ImageFile]) -> Iterator[tuple[OpenImage, ...]]:
    """The files, open. Raises: ImageError naming file and reason."""
    with ExitStack() as stack:
        yield tuple(_open(file, stack) for file in files)


def _open(file: ImageFile, stack: ExitStack) -> OpenImage:
    name = f"{file.role.value} {file.path}"
    try:
        fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        hint = " (a space ends its name, two stand for one in it)" if file.arguments else ""
        raise ImageError(f"{name}: {error.strerror}: name a readable file{hint}") from error
    stack.callback(os.close, fd)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{name}: is not a regular file: name an image file")
    if status.st_size == 0:
        raise ImageError(f"{name}: is empty (0 bytes): name a file with content")
    return OpenImage(file, fd, status.st_size)


def stage_places(sizes: Sequence[int], e820: E820Map) -> tuple[GpaRange, ...]:
    """Where images of `sizes` wait: the ramdisk where it will most likely stay, top down.

    The order is that of `sizes`, the last one highest; each starts on a page.
    Raises: PlacementError with how much more memory would do.
    """
    window = staging_window(e820)
    at = int(window.end)
    places: list[GpaRange] = []
    for size in reversed(sizes):
        at = align_down(at - size, PAGE)
        if at < window.start:
            missing = align_up(sum(align_up(s, PAGE) for s in sizes) - window.size, MIB) // MIB
            # RAM above 4 GiB means that low RAM is as large as it gets.
            grows = all(ram.start < FOUR_GIB for ram in e820.ram())
            remedy = f"give the guest at least {missing} MiB more memory"
            raise PlacementError(
                f"images of {sum(sizes):#x} bytes do not fit into the staging area {window}: "
                + (remedy if grows else f"name smaller images, by {missing} MiB")
            )
        places.append(GpaRange(Gpa(at), size))
    return tuple(reversed(places))


def load(
    opened: Sequence[OpenImage],
    places: Sequence[GpaRange],
    ram: GuestRam,
    method: LoadMethod,
    progress: Progress,
) -> Loaded:
    """Copies every image to its place.

    Raises: ImageError if a file cannot be read to the length it had when it was opened,
    ConfigError if the host has no memory left for it.
    """
    images = []
    for image, place in zip(opened, places, strict=True):
        os.lseek(image.fd, 0, os.SEEK_SET)
        try:
            if method is LoadMethod.KERNEL and isinstance(ram, MemfdRam):
                digest = _copy_in_kernel(image, place, ram, progress)
            else:
                digest = _copy_through_buffer(image, place, ram, progress)
        except OSError as error:
            if error.errno in NO_MEMORY:
                raise no_memory(place, error) from error
            name = f"{image.file.role.value} {image.file.path}"
            raise ImageError(f"{name}: cannot be read: {error.strerror}") from error
        named = os.fsencode(image.file.path.name), os.fsencode(image.file.arguments)
        images.append(StagedImage(image.file.role, place, digest, *named))
    return Loaded(tuple(images))


def damaged(loaded: Loaded, ram: GuestRam) -> tuple[int, ...]:
    """Indexes of images whose bytes in guest RAM are no longer the ones loaded."""
    return tuple(
        index
        for index, image in enumerate(loaded.images)
        if ram.digest(image.range) != image.digest
    )


def _copy_through_buffer(
    image: OpenImage, place: GpaRange, ram: GuestRam, progress: Progress
) -> bytes:
    if isinstance(ram, MemfdRam):
        ram.populate(place)
    hasher = blake3()
    buffer = bytearray(BUFFER_BYTES)
    view = memoryview(buffer)
    done = 0
    while done < image.size:
        part = view[: min(BUFFER_BYTES, image.size - done)]
        count = os.readv(image.fd, [part])
        if count == 0:
            raise _cut(image, done)
        ram.write(Gpa(place.start + done), part[:count])
        hasher.update(part[:count])
        done += count
        progress(image.file.role, done, image.size)
    return hasher.digest()


def _copy_in_kernel(image: OpenImage, place: GpaRange, ram: MemfdRam, progress: Progress) -> bytes:
    done = 0
    while done < image.size:
        step = GpaRange(Gpa(place.start + done), min(_KERNEL_STEP, image.size - done))
        count = ram.copy_from_file(image.fd, step)
        if count == 0:
            raise _cut(image, done)
        done += count
        progress(image.file.role, done, image.size)
    return ram.digest(place)


def _cut(image: OpenImage, done: int) -> ImageError:
    return ImageError(
        f"{image.file.role.value} {image.file.path}: ends after {done} of {image.size} bytes: "
        "it was cut while it was read, try again"
    )
