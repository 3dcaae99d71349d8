from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from devicemodel.images.pvh import PvhKernel
from devicemodel.stage_work import StageWork
from handoff.descriptor import BootMethod
from handoff.errors import DescriptorRefused, DigestMismatch
from handoff.stages import ORDER, Stage
from tests.builders import RAMDISK, RELOCATABLE, Guest
from tests.devicemodel.handover import GENERATION, How, Staged, offer
from tests.devicemodel.images.elves import PVH_ELF, bzimage, gzip_payload

STAGED = Staged(RELOCATABLE.build(), 0x400000, RAMDISK, 0x600000)


def work_after(guest: Guest, stages: tuple[Stage, ...]) -> StageWork:
    """A StageWork that has done `stages`."""
    work = StageWork(guest.ram, None)
    for stage in stages:
        if stage is Stage.DISCOVERED:
            work.discover(offer(guest, STAGED), GENERATION)
        else:
            work.run(stage)
    return work


def test_any_other_order_is_our_own_mistake(qemu: Guest) -> None:
    work = work_after(qemu, ORDER[:1])
    for following in (*ORDER[1:], None):
        for stage in Stage:
            if stage is not following:
                with pytest.raises(AssertionError, match="does not follow"):
                    work.run(stage)
        if following is not None:
            work.run(following)


def test_what_a_kernel_was_unpacked_to_is_let_go_of_when_the_guest_may_run(qemu: Guest) -> None:
    def kept() -> list[PvhKernel]:
        gc.collect()
        return [one for one in gc.get_objects() if isinstance(one, PvhKernel)]

    before = len(kept())
    work = StageWork(qemu.ram, None)
    kernel = bzimage(gzip_payload(PVH_ELF.build()))
    staged = Staged(kernel, 0x400000, how=How(boot=BootMethod.PVH))
    work.discover(offer(qemu, staged), GENERATION)
    for stage in ORDER[1:]:
        work.run(stage)
        assert len(kept()) == before + (stage is not Stage.READY)
    assert work.devices() is not None


def test_an_offer_is_discovered_once_and_first(qemu: Guest) -> None:
    with pytest.raises(AssertionError, match="does not follow"):
        StageWork(qemu.ram, None).run(Stage.VERIFIED)
    work = work_after(qemu, ORDER[:1])
    with pytest.raises(AssertionError):
        work.discover(offer(qemu, STAGED), GENERATION)


def test_there_is_a_report_only_while_the_bios_extension_is_inserted(qemu: Guest) -> None:
    with pytest.raises(AssertionError):
        StageWork(qemu.ram, None).report()
    work = work_after(qemu, ORDER[:1])
    for stage in ORDER[1:]:
        with pytest.raises(AssertionError):
            work.report()
        work.run(stage)
        if stage is Stage.INSERTED:
            assert work.report().rom.start == 0xC8000
            work.run(Stage.READY)
            break
    with pytest.raises(AssertionError):
        work.report()


@pytest.mark.parametrize(
    ("damage", "stage", "error"),
    [
        (lambda g: g.ram.write(g.regions[0].range.start + 0x400000, b"?"), 1, DigestMismatch),
        (lambda g: g.ram.write(g.regions[0].range.start + 0x200000, b"?"), 5, DigestMismatch),
    ],
)
def test_a_stage_that_fails_says_why_and_is_not_done(
    qemu: Guest, damage: Callable[[Guest], None], stage: int, error: type[Exception]
) -> None:
    work = work_after(qemu, ORDER[:stage])
    damage(qemu)
    for _ in range(2):
        with pytest.raises(error):
            work.run(ORDER[stage])


def test_a_frame_that_is_refused_leaves_room_for_none(qemu: Guest) -> None:
    work = StageWork(qemu.ram, None)
    with pytest.raises(DescriptorRefused):
        work.discover(b"", GENERATION)
    with pytest.raises(AssertionError):
        work.run(Stage.VERIFIED)
