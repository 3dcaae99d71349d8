"""Laws of placement that hold for whatever fits."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from devicemodel.bios_extension.block import BLOCK_MAX_BYTES, Copy
from devicemodel.guest_map import GuestMap
from handoff.addresses import MIB, Gpa, GpaRange, first_overlap
from handoff.descriptor import CMDLINE_MAX_BYTES
from handoff.e820 import E820Entry, E820Map, E820Type
from handoff.errors import LayoutError, PlacementError
from handoff.platforms import (
    Platform,
    Reservation,
    Until,
    low_ram_limit,
    memory_map,
    ranges,
    reservations,
)
from handoff.report import When
from tests.builders import BzImage
from tests.devicemodel.plans import CMDLINE, ROM_BYTES, planned


@dataclass(frozen=True, slots=True)
class Wish:
    image: BzImage
    guest: GuestMap
    platform: Platform
    ramdisk_size: int | None
    cmdline: bytes


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    platform = draw(st.sampled_from(Platform))
    memory_bytes = draw(st.integers(64, 200)) * MIB
    ram_end = memory_bytes
    megabytes = st.integers(0, 40 * MIB)
    image = BzImage(
        version=draw(st.integers(0x202, 0x20F)),
        setup_sects=draw(st.integers(1, 63)),
        relocatable_kernel=draw(st.integers(0, 1)),
        kernel_alignment=1 << draw(st.integers(12, 25)),
        pref_address=draw(st.sampled_from([0, 0x100000, 0x200000, 0x1000000]) | megabytes),
        init_size=draw(megabytes),
        initrd_addr_max=draw(st.sampled_from([0x37FFFFFF, 0x7FFFFFFF]) | megabytes),
        payload_bytes=draw(st.integers(1, 30 * MIB)),
    )
    e820 = memory_map(memory_bytes, low_ram_limit(platform, memory_bytes))
    if draw(st.booleans()):  # a hole in the middle of RAM
        start = draw(st.integers(2 * MIB, ram_end - 2 * MIB))
        end = draw(st.integers(start + 1, ram_end - MIB))
        e820 = E820Map.of(
            [
                *e820.entries[:3],
                E820Entry(GpaRange.between(MIB, start), E820Type.RAM),
                E820Entry(GpaRange.between(start, end), E820Type.NVS),
                E820Entry(GpaRange.between(end, ram_end), E820Type.RAM),
            ]
        )
    more = st.builds(
        lambda start, size, until: Reservation(GpaRange(Gpa(start), size), "test", until),
        st.integers(0, ram_end),
        st.integers(1, 4 * MIB),
        st.sampled_from(Until),
    )
    reserved = (*reservations(platform, e820), *draw(st.lists(more, max_size=2)))
    return Wish(
        image,
        GuestMap(e820, reserved),
        platform,
        draw(st.none() | st.integers(1, 40 * MIB)),
        draw(st.sampled_from([b"", CMDLINE, b"x" * 255])),
    )


@given(wishes())
def test_placements_never_overlap_each_other_nor_what_is_reserved_and_lie_in_ram(
    wish: Wish,
) -> None:
    try:
        plan = planned(
            wish.image,
            wish.platform,
            guest=wish.guest,
            ramdisk_size=wish.ramdisk_size,
            cmdline=wish.cmdline,
        )
    except (PlacementError, LayoutError):
        return
    reserved = wish.guest.reserved
    own = (plan.block_range, plan.rom_staging)
    now = [*own, *(p.range for p in plan.placements if p.when is When.NOW)]
    later = [p.range for p in plan.placements if p.when is When.BEV]
    run = [p.range for p in plan.placements if p.when is When.RUN]

    for where in now:
        assert not any(where.overlaps(taken) for taken in ranges(reserved))
    for where in (*later, *run):
        assert not any(where.overlaps(taken) for taken in ranges(reserved, Until.ALWAYS))
    for where in (*now, *later, *run):
        assert any(ram.contains(where) for ram in wish.guest.e820.ram())
    assert first_overlap(now) is None
    assert first_overlap(later) is None

    # What the kernel unpacks over is the kernel's alone.
    kernel = [p for p in plan.placements if p.name == "kernel"]
    lands = next((p.range for p in kernel if p.when is When.BEV), kernel[0].range)
    room = GpaRange(lands.start, run[0].size)
    for where in (room, *run):
        assert not any(where.overlaps(other) for other in now if other != lands)
    # The BIOS extension's copies hold whatever order they are done in.
    copies = [step for step in plan.block.steps if isinstance(step, Copy)]
    touched = [r for s in copies for r in (s.source, GpaRange(s.to, s.source.size))]
    assert first_overlap(touched) is None
    for copy in copies:
        to = GpaRange(copy.to, copy.source.size)
        (waits,) = [p for p in plan.placements if p.range == copy.source]
        (placed,) = [p for p in plan.placements if p.range == to and p.when is When.BEV]
        assert placed.content == waits.content
        assert waits.when is When.NOW
    assert len(copies) == len(later)
    assert plan.block_range.size == BLOCK_MAX_BYTES
    assert plan.rom_staging.size == ROM_BYTES
    assert len(wish.cmdline) <= CMDLINE_MAX_BYTES
