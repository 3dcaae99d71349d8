"""The device model's half on a poisoned guest, from staged bytes or from host files."""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.discover import Discovered, HostFiles, discover
from devicemodel.insert import insert
from devicemodel.move import move
from devicemodel.place import place
from devicemodel.plan import BootPlan
from devicemodel.ready import Ready, ready
from devicemodel.verify import verify
from handoff.addresses import GpaRange
from handoff.descriptor import BootMethod, EntryMode, Insert, Role, Subarch
from handoff.descriptor_codec import encode_descriptor
from handoff.report import When
from tests.builders import Guest

GENERATION = 7
CMDLINE = b"console=ttyS0 nokaslr"


@dataclass(frozen=True, slots=True)
class How:
    """What the operator forces."""

    boot: BootMethod = BootMethod.AUTO
    entry: EntryMode = EntryMode.AUTO
    subarch: Subarch = Subarch.PC


AS_IT_IS = How()


@dataclass(frozen=True, slots=True)
class Staged:
    """What a toolstack left in guest RAM, and where."""

    kernel: bytes
    kernel_at: int
    ramdisk: bytes | None = None
    ramdisk_at: int = 0
    cmdline: bytes = CMDLINE
    insert: Insert = Insert.WINDOW
    how: How = AS_IT_IS
    roles: tuple[Role, Role] = (Role.KERNEL, Role.RAMDISK)
    """of `kernel` and `ramdisk`; without a kernel, firmware takes their places"""


def offer(guest: Guest, staged: Staged) -> bytes:
    """The frame for `staged`, whose bytes are in guest RAM now."""
    first, second = staged.roles
    images = [guest.stage(first, staged.kernel, staged.kernel_at)]
    if staged.ramdisk is not None:
        images.append(guest.stage(second, staged.ramdisk, staged.ramdisk_at))
    how = staged.how
    descriptor = guest.descriptor(
        images,
        cmdline=staged.cmdline,
        insert=staged.insert,
        boot=how.boot,
        entry=how.entry,
        subarch=how.subarch,
    )
    return encode_descriptor(descriptor, GENERATION)


def discovered(guest: Guest, staged: Staged) -> Discovered:
    return discover(offer(guest, staged), GENERATION, guest.ram, None)


def discovered_native(
    guest: Guest, files: HostFiles, cmdline: bytes = CMDLINE, how: How = AS_IT_IS
) -> Discovered:
    descriptor = guest.descriptor(
        (), cmdline=cmdline, boot=how.boot, entry=how.entry, subarch=how.subarch
    )
    frame = encode_descriptor(descriptor, GENERATION)
    return discover(frame, GENERATION, guest.ram, files)


def through(found: Discovered, guest: Guest) -> Ready:
    """All stages after the first."""
    placed = place(verify(found, guest.ram))
    return ready(insert(move(placed, guest.ram), guest.ram), guest.ram)


def plan_of(done: Ready) -> BootPlan:
    return done.inserted.moved.placed.plan


def told(plan: BootPlan) -> object:
    """All of a plan that does not depend on where the images came from."""
    placements = [
        (
            p.described(),
            p.content if isinstance(p.content, bytes | memoryview) else p.content is None,
        )
        for p in plan.placements
    ]
    return plan.method, placements, plan.block, plan.block_range, plan.rom_staging


def waiting(done: Ready) -> list[GpaRange]:
    """Every range the plan wants filled before the guest's first instruction."""
    plan = plan_of(done)
    now = [p.range for p in plan.placements if p.when is When.NOW]
    return [*now, plan.block_range, done.inserted.rom]
