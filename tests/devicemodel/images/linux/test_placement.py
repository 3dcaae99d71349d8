"""Where kernels of all kinds go, beyond what `test_plan` shows of the usual two."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devicemodel.bios_extension.block import Copy
from devicemodel.plan import BootPlan, Placement
from handoff.addresses import GIB, MIB, Gpa, GpaRange
from handoff.errors import DoesNotFit
from handoff.platforms import Platform
from handoff.report import When
from tests.builders import RELOCATABLE, BzImage
from tests.devicemodel.plans import guest_map, planned

ZIMAGE = BzImage(version=0x206, loadflags=0, code32_start=0x10000, payload_bytes=0x60000)
PICKY = replace(RELOCATABLE, kernel_alignment=0x1000000, pref_address=0x200000, init_size=0x900000)
"""Prefers 16 MiB boundaries, as 32-bit kernels of Debian do, and can do with 2 MiB."""


def kernel_of(plan: BootPlan, when: When) -> Placement:
    (found,) = [p for p in plan.placements if (p.name, p.when) == ("kernel", when)]
    return found


def alignment_told(plan: BootPlan) -> int:
    (setup,) = {p.content for p in plan.placements if p.name == "setup code"}
    assert isinstance(setup, bytes)
    return int.from_bytes(setup[0x230:0x234], "little")


@pytest.mark.parametrize("platform", Platform)
def test_a_zimage_waits_and_is_brought_below_its_setup_code(platform: Platform) -> None:
    plan = planned(ZIMAGE, platform)
    waits, runs = kernel_of(plan, When.NOW), kernel_of(plan, When.BEV)
    assert str(runs.range) == "[0x10000, 0x70000)"
    assert runs.reason == "zImage"
    assert Copy(waits.range, Gpa(0x10000)) in plan.block.steps
    assert waits.range.start >= 2 * MIB
    (unpacks,) = [p for p in plan.placements if p.when is When.RUN]
    assert str(unpacks.range) == "[0x100000, 0x280000)"
    assert unpacks.reason == "runs from 0x100000: where a zImage unpacks to"


def test_the_alignment_a_kernel_prefers_is_kept_where_it_fits() -> None:
    plan = planned(PICKY)
    assert kernel_of(plan, When.NOW).range.start == 16 * MIB
    assert alignment_told(plan) == 0x1000000


def test_the_least_alignment_is_taken_and_told_where_the_preferred_one_does_not_fit() -> None:
    tight = replace(PICKY, kernel_alignment=64 * MIB, init_size=70 * MIB)
    plan = planned(tight, guest=guest_map(Platform.QEMU_PC, 128 * MIB))
    assert kernel_of(plan, When.NOW).range.start == 2 * MIB
    assert alignment_told(plan) == 0x200000
    (unpacks,) = [p for p in plan.placements if p.when is When.RUN]
    assert unpacks.range == GpaRange(Gpa(2 * MIB), 70 * MIB)


@pytest.mark.parametrize(
    "change",
    [{"version": 0x209}, {"min_alignment": 0}, {"min_alignment": 24}, {"min_alignment": 255}],
)
def test_an_alignment_the_kernel_does_not_offer_is_not_taken(change: dict[str, int]) -> None:
    tight = replace(PICKY, init_size=0x3000000, payload_bytes=0xC00000)
    with pytest.raises(DoesNotFit, match=r"needs \[0x1000000, 0x4000000\)"):
        planned(replace(tight, **change))  # type: ignore[arg-type]


def test_if_no_alignment_fits_the_memory_for_the_least_one_is_asked_for() -> None:
    with pytest.raises(DoesNotFit, match=r"needs \[0x200000, 0x4000000\), .* at least 1 MiB more"):
        planned(replace(PICKY, init_size=0x3E00000))


@pytest.mark.parametrize(("memory", "low_end"), [(4 * GIB, 0xC0000000), (8 * GIB, 0xC0000000)])
def test_in_a_large_guest_all_is_below_4_gib_and_below_the_kernels_limit(
    memory: int, low_end: int
) -> None:
    guest = guest_map(Platform.QEMU_PC, memory)
    limited = planned(RELOCATABLE, guest=guest, ramdisk_size=400 * MIB).placements[-1]
    assert limited.range.end <= 0x80000000 < limited.range.end + 0x1000
    anywhere = replace(RELOCATABLE, xloadflags=0x03)
    free = planned(anywhere, guest=guest, ramdisk_size=400 * MIB).placements[-1]
    assert free.range.end == low_end - 32 * MIB
    before_2_03 = replace(RELOCATABLE, version=0x202)
    oldest = planned(before_2_03, guest=guest, ramdisk_size=400 * MIB).placements[-1]
    assert oldest.range.end == 0x38000000
