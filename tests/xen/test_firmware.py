"""What firmware takes is what the placement keeps clear of, and no more than that."""

from __future__ import annotations

import pytest

from devicemodel.bios_extension.block import KNOWN_BLOCK
from handoff.addresses import FOUR_GIB, MIB, PAGE, Gpa, GpaRange
from handoff.carriers.memory import KNOWN_LOCATION
from handoff.frame import FRAME_MAX_BYTES
from handoff.platforms import Platform, memory_map, ranges, reservations, staging_window
from tests.xen.play import Play
from tests.xen.scenarios import firmware

pytestmark = pytest.mark.xen

MEMORY_MIB = 64


def test_hvmloader_and_seabios_stay_out_of_staging_and_enter_the_bios_extension(play: Play) -> None:
    found = play(firmware.poisoned_until_the_bev, memory_mib=MEMORY_MIB)
    # It was entered, and found poison where its parameter block would be.
    assert found["said"] == "parameter block at 0x001f0000: none found there. Halted."
    assert found["low_ram_end"] == MEMORY_MIB * MIB

    changed = [GpaRange(Gpa(page), PAGE) for page in found["changed"]]
    assert changed
    e820 = memory_map(found["low_ram_end"], Gpa(FOUR_GIB))
    frame = GpaRange(KNOWN_LOCATION, FRAME_MAX_BYTES)
    kept = (staging_window(e820), KNOWN_BLOCK, frame)
    assert [page for page in changed if any(page.overlaps(where) for where in kept)] == []
    known = ranges(reservations(Platform.XEN_HVM, e820))
    assert [page for page in changed if not any(where.contains(page) for where in known)] == []
