from __future__ import annotations

from dataclasses import replace

import pytest

from devicemodel.bios_extension.block import KNOWN_BLOCK, ParameterBlock, RealModeEntry
from devicemodel.plan import BootPlan, Placement
from handoff.addresses import Gpa, GpaRange
from handoff.report import PlacedRange, When


def at(start: int) -> GpaRange:
    return GpaRange(Gpa(start), 0x1000)


PLAN = BootPlan(
    method="linux",
    placements=(
        Placement("kernel", at(0x200000), None, When.NOW, "here"),
        Placement("kernel", at(0x200000), None, When.RUN, "and runs here"),
    ),
    block=ParameterBlock(RealModeEntry(0x1020, 0, 0x1000, 0xFFF0, 0x1000)),
    block_range=at(0x300000),
    rom_staging=at(0x301000),
)


def test_a_placement_is_told_without_its_bytes() -> None:
    assert PLAN.placements[0].described() == PlacedRange("kernel", at(0x200000), When.NOW, "here")


@pytest.mark.parametrize("changes", [{"block_range": at(0x200FFF)}, {"rom_staging": at(0x300001)}])
def test_what_must_be_there_before_the_guest_starts_never_shares_a_byte(
    changes: dict[str, GpaRange],
) -> None:
    with pytest.raises(AssertionError, match="two things"):
        replace(PLAN, **changes)  # type: ignore[arg-type]


def test_for_a_rom_that_firmware_has_only_the_blocks_place_changes() -> None:
    fixed = PLAN.for_fixed_rom()
    assert fixed.kept == (KNOWN_BLOCK,)
    assert replace(fixed, block_range=PLAN.block_range, rom_staging=PLAN.rom_staging) == PLAN
