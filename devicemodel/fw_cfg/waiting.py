"""Where images wait until an option ROM has read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from devicemodel.fw_cfg.plan import Target
from devicemodel.guest_map import Space
from devicemodel.images.source import ImageSlice
from devicemodel.plan import Placement
from devicemodel.ram_image import RamImage
from handoff.addresses import PAGE, Gpa, GpaRange
from handoff.report import When


@dataclass(frozen=True, slots=True)
class Waiting:
    """A part of an image as the device will read it, and the place it is kept at until then."""

    part: ImageSlice
    placement: Placement | None
    """None for a host file, which needs none"""


def wait_for_rom(
    parts: Sequence[ImageSlice], targets: Iterable[Target], space: Space
) -> tuple[Waiting, ...]:
    """A place in staging for each part, in their order, clear of all that the ROM writes.

    parts: of a kernel of which a private copy goes elsewhere, the rest, with the copy as its
    `before`: so the copy is shown to be what was announced, too.
    What is clear of it already stays where it is. Raises: DoesNotFit.
    """
    for target in targets:
        space.take(target.range)
    stays: dict[int, GpaRange] = {}
    for number, part in enumerate(parts):
        at = part.location
        if at is not None and not any(at.overlaps(busy) for busy in space.taken):
            stays[number] = space.take(at)
    waiting = []
    for number, part in enumerate(parts):
        image = part.image
        if not isinstance(image.file, RamImage):
            waiting.append(Waiting(part, None))
            continue
        name = image.role.value
        at = stays.get(number)
        if at is None:
            at = space.lowest(part.size, PAGE, space.guest.staging, name)
        file = image.file.moved_to(Gpa(at.start - part.offset))
        moved = replace(part, image=replace(image, file=file))
        reason = "waits for the option ROM, which reads it through fw_cfg"
        waiting.append(Waiting(moved, Placement(name, at, part, When.NOW, reason)))
    return tuple(waiting)


def waiting_placements(waiting: Iterable[Waiting]) -> tuple[Placement, ...]:
    """The placements of those that lie in guest RAM."""
    return tuple(one.placement for one in waiting if one.placement is not None)
