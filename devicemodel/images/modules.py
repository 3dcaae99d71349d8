"""Images that a kernel is given as they are: the ramdisk and what is named behind it."""

from __future__ import annotations

from collections.abc import Sequence

from devicemodel.guest_map import Space
from devicemodel.images.source import Image
from devicemodel.plan import Placement
from handoff.addresses import PAGE, Gpa, GpaRange, align_up
from handoff.report import When


def place_modules(images: Sequence[Image], space: Space) -> tuple[Placement, ...]:
    """One behind the other in their order, each on a page, as high as staging goes.

    Some kernels take the first one's start and the last one's end for all that lies between. The
    toolstack stages its images in the same way, so that most often none has to be moved.
    Raises: DoesNotFit.
    """
    if not images:
        return ()
    sizes = [align_up(image.size, PAGE) for image in images]
    window = space.guest.staging
    at = int(space.highest(sum(sizes), PAGE, window, _named(images)).start)
    placements = []
    for number, (image, size) in enumerate(zip(images, sizes, strict=True)):
        where = GpaRange(Gpa(at), image.size)
        name = "ramdisk" if number == 0 else f"module {number}"
        placements.append(Placement(name, where, image.whole(), When.NOW, "highest free, in order"))
        at += size
    return tuple(placements)


def _named(images: Sequence[Image]) -> str:
    return "ramdisk" if len(images) == 1 else f"{len(images)} modules, one behind the other,"
