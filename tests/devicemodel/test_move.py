from __future__ import annotations

from dataclasses import replace

import pytest
from blake3 import blake3

from devicemodel.images.source import Image, Sources
from devicemodel.move import Landed, check_landed, move
from devicemodel.place import Placed, place
from devicemodel.plan import Placement
from devicemodel.verify import verify
from handoff.addresses import PAGE, Gpa, GpaRange
from handoff.errors import DigestMismatch, ImageError, PlacementError
from handoff.report import MovedRange, When
from tests.builders import RAMDISK, RELOCATABLE, Guest, host_file, host_files
from tests.devicemodel.handover import Staged, discovered, discovered_native

KERNEL = RELOCATABLE.build()
SETUP = RELOCATABLE.setup_bytes
PAYLOAD = RELOCATABLE.payload()
LOAD = GpaRange(Gpa(0x200000), len(PAYLOAD))
RAMDISK_PLACE = GpaRange(Gpa(0x1FF5000), len(RAMDISK))
FAR = Staged(KERNEL, 0x400000, RAMDISK, 0x600000)
CIRCLE = Staged(KERNEL, 0x1FED000, RAMDISK, 0x208000)
"""Each image lies where the other one belongs."""


def placed(guest: Guest, staged: Staged) -> Placed:
    return place(verify(discovered(guest, staged), guest.ram))


def test_images_are_moved_from_where_they_were_staged(qemu: Guest) -> None:
    moved = move(placed(qemu, FAR), qemu.ram)
    assert set(moved.moves) == {
        MovedRange("kernel", GpaRange(Gpa(0x400000 + SETUP), len(PAYLOAD)), LOAD),
        MovedRange("ramdisk", GpaRange(Gpa(0x600000), len(RAMDISK)), RAMDISK_PLACE),
    }
    assert qemu.ram.read(LOAD) == PAYLOAD
    assert qemu.ram.read(RAMDISK_PLACE) == RAMDISK


def test_what_lies_at_its_place_is_not_moved(qemu: Guest) -> None:
    staged = Staged(KERNEL, LOAD.start - SETUP, RAMDISK, RAMDISK_PLACE.start)
    moved = move(placed(qemu, staged), qemu.ram)
    assert moved.moves == ()
    assert qemu.ram.read(LOAD) == PAYLOAD
    assert qemu.ram.read(RAMDISK_PLACE) == RAMDISK


def test_images_that_change_places_go_through_room_that_nobody_uses(qemu: Guest) -> None:
    ready = placed(qemu, CIRCLE)
    moved = move(ready, qemu.ram)
    assert [step.name for step in moved.moves] == ["ramdisk (aside)", "kernel", "ramdisk"]
    scratch = moved.moves[0].to
    used = [
        ready.plan.block_range,
        ready.plan.rom_staging,
        *(p.range for p in ready.plan.placements if p.when is not When.RUN),
        *(image.range for image in ready.verified.found.descriptor.images),
    ]
    assert not any(scratch.overlaps(where) for where in used)
    assert qemu.ram.read(LOAD) == PAYLOAD
    assert qemu.ram.read(RAMDISK_PLACE) == RAMDISK


def test_without_such_room_images_that_change_places_are_refused(qemu: Guest) -> None:
    ready = placed(qemu, CIRCLE)
    plan = ready.plan
    between = GpaRange.between(LOAD.end, CIRCLE.kernel_at)
    rest = Placement("all the rest", between, None, When.BEV, "a test")
    tight = replace(plan, placements=(*plan.placements, rest))
    with pytest.raises(PlacementError, match="a circle of moves needs 0xa321 bytes"):
        move(replace(ready, plan=tight), qemu.ram)


def test_staging_that_holds_nothing_any_more_is_given_back(qemu: Guest) -> None:
    ready = placed(qemu, FAR)
    before = qemu.ram.resident_bytes()
    moved = move(ready, qemu.ram)
    kernel, ramdisk = (-(-len(content) // PAGE) - 1 for content in (KERNEL, RAMDISK))
    assert moved.released_bytes == (kernel + ramdisk) * PAGE
    assert before - qemu.ram.resident_bytes() == moved.released_bytes


def test_staging_that_the_plan_uses_is_kept(qemu: Guest) -> None:
    in_place = Staged(KERNEL, LOAD.start - SETUP, RAMDISK, RAMDISK_PLACE.start)
    assert move(placed(qemu, in_place), qemu.ram).released_bytes == 0


def test_each_range_that_must_stay_is_told_with_its_digest(qemu: Guest) -> None:
    moved = move(placed(qemu, FAR), qemu.ram)
    landed = {one.name: one for one in moved.landed}
    assert set(landed) == {"kernel", "ramdisk", "setup code", "command line"}
    assert landed["kernel"] == Landed("kernel", LOAD, blake3(KERNEL).digest(), RELOCATABLE.setup())
    assert landed["ramdisk"].digest == blake3(RAMDISK).digest()
    for one in moved.landed:
        check_landed(one, qemu.ram)


def test_a_kernel_that_was_changed_after_it_was_parsed_is_found(qemu: Guest) -> None:
    """Parsed, placed and announced bytes are shown to be the same."""
    ready = placed(qemu, FAR)
    qemu.ram.write(Gpa(0x400000 + SETUP), b"\0")
    kernel = next(one for one in move(ready, qemu.ram).landed if one.name == "kernel")
    with pytest.raises(DigestMismatch, match=r"kernel at \[0x200000, 0x212345\)"):
        check_landed(kernel, qemu.ram)


def test_host_files_are_copied_in_and_nothing_is_given_back(qemu: Guest) -> None:
    with host_files(KERNEL, RAMDISK) as files:
        ready = place(verify(discovered_native(qemu, files), qemu.ram))
        moved = move(ready, qemu.ram)
    assert moved.moves == (
        MovedRange("kernel", None, LOAD),
        MovedRange("ramdisk", None, RAMDISK_PLACE),
    )
    assert moved.released_bytes == 0
    assert qemu.ram.read(LOAD) == PAYLOAD
    for one in moved.landed:
        check_landed(one, qemu.ram)


def test_a_host_file_longer_than_the_buffer_is_copied_whole(qemu: Guest) -> None:
    large = replace(RELOCATABLE, payload_bytes=(2 << 20) + 123, init_size=0x300000)
    with host_files(large.build(), None) as files:
        move(place(verify(discovered_native(qemu, files), qemu.ram)), qemu.ram)
    assert qemu.ram.read(GpaRange(LOAD.start, large.payload_bytes)) == large.payload()


def test_a_host_file_that_was_cut_after_it_was_opened_is_refused(qemu: Guest) -> None:
    with host_files(KERNEL, None) as files, host_file(KERNEL, SETUP + 5) as short:
        found = discovered_native(qemu, files)
        ready = place(verify(found, qemu.ram))
        cut = Image(files.kernel.role, short, files.kernel.size)
        payload = replace(ready.verified.kernel.payload, image=cut)
        first = replace(ready.plan.placements[0], content=payload)
        plan = replace(ready.plan, placements=(first, *ready.plan.placements[1:]))
        with pytest.raises(ImageError, match=f"kernel ends after {SETUP + 5} of {len(KERNEL)}"):
            move(replace(ready, plan=plan), qemu.ram)
    assert isinstance(found.sources, Sources)
