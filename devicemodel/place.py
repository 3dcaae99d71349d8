"""Stage 3: a final place for everything, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.bios_extension.rom import rom_image
from devicemodel.guest_map import GuestMap
from devicemodel.images.linux import plan_linux
from devicemodel.plan import BootPlan
from devicemodel.verify import Verified
from handoff.addresses import MIB, align_down, align_up
from handoff.errors import DoesNotFit, PlacementError


@dataclass(frozen=True, slots=True)
class Placed:
    verified: Verified
    plan: BootPlan


def place(verified: Verified) -> Placed:
    """Raises: ConfigError, PlacementError; if memory is what is missing, with how much is
    enough."""
    guest = verified.found.guest
    try:
        return Placed(verified, _plan(verified, guest))
    except DoesNotFit as error:
        enough = _enough_more_memory(verified, guest)
        remedy = (
            f"give the guest at least {enough // MIB} MiB more memory"
            if enough is not None
            else "no amount of memory below 4 GiB would do"
        )
        raise DoesNotFit(error.problem, remedy) from error


def _plan(verified: Verified, guest: GuestMap) -> BootPlan:
    found = verified.found
    return plan_linux(
        verified.kernel,
        found.sources,
        guest,
        found.descriptor.platform,
        rom_bytes=len(rom_image()),
    )


def _enough_more_memory(verified: Verified, guest: GuestMap) -> int | None:
    """The least whole MiB, in bytes, that this guest lacks; None if no size below 4 GiB does.

    Found by planning for larger guests: what fits in one fits in every larger one.
    """

    def fits(more: int) -> bool:
        try:
            _plan(verified, guest.grown(more))
        except PlacementError:
            return False
        return True

    least, enough = 0, align_down(guest.room_to_grow, MIB)
    if enough == 0 or not fits(enough):
        return None
    while enough - least > MIB:
        middle = align_up((least + enough) // 2, MIB)
        if fits(middle):
            enough = middle
        else:
            least = middle
    return enough
