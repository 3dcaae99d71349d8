"""Stage 4: what may already lie at its final place is brought there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from blake3 import blake3

from devicemodel.guest_map import Space
from devicemodel.images.source import ImageSlice
from devicemodel.move_order import Move, order_moves
from devicemodel.place import Placed, Plan
from devicemodel.plan import Placement, Zeros
from devicemodel.verify import Verified
from handoff.addresses import PAGE, Gpa, GpaRange
from handoff.errors import DigestMismatch, ImageError
from handoff.guest_ram import GuestRam
from handoff.report import MovedRange, When

COPY_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Landed:
    """Bytes at their place, and the digest they must keep until the guest runs."""

    name: str
    range: GpaRange
    digest: bytes
    prefix: bytes = b""
    """bytes of the same image that are not in RAM: the digest is over both"""


@dataclass(frozen=True, slots=True)
class Moved:
    placed: Placed
    landed: tuple[Landed, ...]
    moves: tuple[MovedRange, ...]
    released_bytes: int


def move(placed: Placed, ram: GuestRam) -> Moved:
    """Every placement of the plan that must hold bytes is filled.

    Raises: ImageError if a host file shrank, PlacementError if a circle of moves finds no
    scratch. Whether the right bytes arrived is asked when all is in place (stage 6).
    """
    plan = placed.plan
    waiting = [p for p in plan.placements if p.when is When.NOW]
    moves = order_moves(
        [
            Move(p.name, p.content.location, p.range.start)
            for p in waiting
            if isinstance(p.content, ImageSlice) and p.content.location is not None
        ],
        _scratch(placed),
    )
    for step in moves:
        ram.move(step.source, step.to)
    done = [MovedRange(step.name, step.source, step.target) for step in moves]
    landed = []
    for p in waiting:
        if isinstance(p.content, ImageSlice):
            if p.content.location is None:
                landed.append(Landed(p.name, p.range, _copy_file(p.content, ram, p.range)))
                done.append(MovedRange(p.name, None, p.range))
            else:
                landed.append(_announced(p, p.content, placed.verified))
    # What is made here goes last: its place may have been somebody's source until now.
    for p in waiting:
        if isinstance(p.content, bytes | memoryview):
            ram.write(p.range.start, p.content)
            landed.append(Landed(p.name, p.range, blake3(p.content).digest()))
        elif isinstance(p.content, Zeros):
            ram.fill(p.range, 0)
            landed.append(Landed(p.name, p.range, _digest_of_zeros(p.range.size)))
    released = _release_staging(placed.verified, plan, ram)
    return Moved(placed, tuple(landed), tuple(done), released)


def _announced(placement: Placement, part: ImageSlice, verified: Verified) -> Landed:
    """The digest the toolstack announced for the whole image, to be found at its new place.

    The part of a kernel that is not in RAM any more is the private copy that was parsed: so
    parsed bytes, placed bytes and announced bytes are shown to be the same ones.
    """
    here = part.location
    assert here is not None
    (image,) = (i for i in verified.found.descriptor.images if i.range.contains(here))
    assert part.offset == len(part.before)
    assert part.offset + part.size == image.range.size
    return Landed(placement.name, placement.range, image.digest, part.before)


def check_landed(landed: Landed, ram: GuestRam) -> None:
    """Raises: DigestMismatch if the bytes are not the ones that were put there."""
    found = ram.digest(landed.range, landed.prefix)
    if found != landed.digest:
        raise DigestMismatch(landed.name, str(landed.range), landed.digest, found)


def _copy_file(part: ImageSlice, ram: GuestRam, to: GpaRange) -> bytes:
    """Copies a host file into RAM through a small buffer; the digest of what was copied."""
    hasher = blake3()
    done = 0
    while done < part.size:
        chunk = part.image.read_at(part.offset + done, min(COPY_BUFFER_BYTES, part.size - done))
        if not chunk:
            raise ImageError(
                f"{part.image.role.value} ends after {part.offset + done} of "
                f"{part.image.size} bytes: it was cut while it was read"
            )
        ram.write(Gpa(to.start + done), chunk)
        hasher.update(chunk)
        done += len(chunk)
    return hasher.digest()


def _digest_of_zeros(size: int) -> bytes:
    hasher = blake3()
    zeros = bytes(min(size, COPY_BUFFER_BYTES))
    for done in range(0, size, COPY_BUFFER_BYTES):
        hasher.update(zeros[: size - done])
    return hasher.digest()


def _scratch(placed: Placed) -> Callable[[int], GpaRange]:
    """Gives room that nothing of the plan or of the staging uses, another one each time.

    It raises PlacementError when there is none left.
    """
    found = placed.verified.found
    space = Space(found.guest)
    for where in _kept(placed.plan):
        space.take(where)
    for image in found.descriptor.images:
        space.take(image.range)
    return lambda size: space.highest(size, PAGE, found.guest.staging, "a circle of moves")


def _kept(plan: Plan) -> Iterable[GpaRange]:
    yield from plan.kept
    for p in plan.placements:
        if p.when is not When.RUN:
            yield p.range


def _release_staging(verified: Verified, plan: Plan, ram: GuestRam) -> int:
    """Gives staging that holds nothing of the plan back, so that images cost the host once."""
    released = 0
    for image in verified.found.descriptor.images:
        for rest in image.range.minus(_kept(plan)):
            pages = rest.pages_inside()
            if pages is not None:
                ram.release(pages)
                released += pages.size
    return released
