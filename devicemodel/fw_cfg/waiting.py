"""Where images wait until an option ROM has read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from devicemodel.fw_cfg.plan import Target
from devicemodel.guest_map import Space
from devicemodel.images.source import Image
from devicemodel.plan import Placement
from devicemodel.ram_image import RamImage
from handoff.addresses import PAGE, GpaRange
from handoff.report import When


@dataclass(frozen=True, slots=True)
class Waiting:
    """An image as the device will read it, and the place it is kept at until then."""

    image: Image
    placement: Placement | None
    """None for a host file, which needs none"""


def wait_for_rom(
    images: Sequence[Image], targets: Iterable[Target], space: Space
) -> tuple[Waiting, ...]:
    """A place in staging for each image, in their order, clear of all that the ROM writes.

    What is clear of it already stays where it is. Raises: DoesNotFit.
    """
    for target in targets:
        space.take(target.range)
    stays: dict[int, GpaRange] = {}
    for number, image in enumerate(images):
        at = image.whole().location
        if at is not None and not any(at.overlaps(busy) for busy in space.taken):
            stays[number] = space.take(at)
    waiting = []
    for number, image in enumerate(images):
        if not isinstance(image.file, RamImage):
            waiting.append(Waiting(image, None))
            continue
        name = image.role.value
        at = stays.get(number)
        if at is None:
            at = space.lowest(image.size, PAGE, space.guest.staging, name)
        moved = Image(image.role, image.file.moved_to(at.start), image.size)
        reason = "waits for the option ROM, which reads it through fw_cfg"
        waiting.append(Waiting(moved, Placement(name, at, image.whole(), When.NOW, reason)))
    return tuple(waiting)


def waiting_placements(waiting: Iterable[Waiting]) -> tuple[Placement, ...]:
    """The placements of those that lie in guest RAM."""
    return tuple(image.placement for image in waiting if image.placement is not None)
