"""Laws of placement that hold for whatever fits."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from devicemodel.bios_extension.block import BLOCK_MAX_BYTES, Copy
from devicemodel.guest_map import GuestMap
from devicemodel.images.auto import recognise
from devicemodel.images.linux import LinuxKernel, LinuxTarget, plan_linux
from devicemodel.images.setup_header import FIELDS
from devicemodel.images.source import Sources, host_image
from devicemodel.plan import BootPlan
from handoff.addresses import MIB, Gpa, GpaRange, first_overlap
from handoff.descriptor import CMDLINE_MAX_BYTES, BootMethod, EntryMode, Role, Subarch
from handoff.e820 import E820Entry, E820Map, E820Type
from handoff.errors import ConfigError, HandoffError, LayoutError, PlacementError
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
from tests.builders import RAMDISK, RELOCATABLE, BzImage, host_file, outcome
from tests.devicemodel.plans import CMDLINE, ROM_BYTES, guest_map, planned


@dataclass(frozen=True, slots=True)
class Wish:
    image: BzImage
    guest: GuestMap
    platform: Platform
    ramdisk_size: int | None
    cmdline: bytes
    entry: EntryMode
    subarch: Subarch

    def planned(self) -> BootPlan:
        return planned(
            self.image,
            self.platform,
            guest=self.guest,
            ramdisk_size=self.ramdisk_size,
            cmdline=self.cmdline,
            entry=self.entry,
            subarch=self.subarch,
        )


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    platform = draw(st.sampled_from(Platform))
    memory_bytes = draw(st.integers(64, 200)) * MIB
    ram_end = memory_bytes
    megabytes = st.integers(0, 40 * MIB)
    image = BzImage(
        version=draw(st.just(0) | st.integers(0x200, 0x211)),
        setup_sects=draw(st.integers(0, 63)),
        loadflags=draw(st.sampled_from([0x01, 0x01, 0x01, 0x00])),
        relocatable_kernel=draw(st.integers(0, 1)),
        kernel_alignment=1 << draw(st.integers(12, 25)),
        min_alignment=draw(st.integers(0, 25) | st.just(255)),
        xloadflags=draw(st.integers(0, 0x7F)),
        pref_address=draw(st.sampled_from([0, 0x100000, 0x200000, 0x1000000]) | megabytes),
        init_size=draw(megabytes),
        initrd_addr_max=draw(st.sampled_from([0x37FFFFFF, 0x7FFFFFFF]) | megabytes),
        payload_bytes=draw(st.integers(1, 0x80000) | st.integers(1, 30 * MIB)),
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
        draw(st.sampled_from(EntryMode)),
        draw(st.sampled_from([Subarch.PC, Subarch.PC, Subarch.XEN])),
    )


@given(wishes())
def test_placements_never_overlap_each_other_nor_what_is_reserved_and_lie_in_ram(
    wish: Wish,
) -> None:
    plan = outcome(wish.planned, HandoffError)
    if isinstance(plan, HandoffError):
        assert isinstance(plan, (ConfigError, LayoutError, PlacementError))
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
    around = lands if lands.start < MIB else GpaRange(lands.start, run[0].size)
    for where in (around, *run):
        assert not any(where.overlaps(other) for other in now if other != lands)
        assert not any(where.overlaps(other) for other in later if other != lands)
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
    made = [p for p in plan.placements if p.when is When.BEV and p.content is None]
    assert len(made) == (1 if wish.entry is EntryMode.LONG else 0)  # page tables
    assert len(copies) + len(made) == len(later)
    assert plan.block_range.size == BLOCK_MAX_BYTES
    assert plan.rom_staging.size == ROM_BYTES
    assert len(wish.cmdline) <= CMDLINE_MAX_BYTES


_HEADER = st.binary(min_size=0x26C - 0x1F1, max_size=0x290 - 0x1F1)


@st.composite
def hostile_files(draw: st.DrawFn) -> bytes:
    """A kernel that is sound but for some fields, or nothing but a magic and noise."""
    image = bytearray(RELOCATABLE.build())
    if draw(st.booleans()):
        noise = draw(_HEADER)
        image[0x1F1 : 0x1F1 + len(noise)] = noise
        image[0x1FE:0x200] = b"\x55\xaa"
        image[0x202:0x208] = b"HdrS" + draw(st.integers(0, 0x2FF)).to_bytes(2, "little")
    for field in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=6)):
        size = struct.calcsize(FIELDS[field].format)
        value = draw(st.sampled_from([0, 1, (1 << 8 * size) - 1]) | st.integers(0, 1 << 8 * size))
        at = FIELDS[field].offset
        image[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    return bytes(image)


@given(
    hostile_files(),
    st.sampled_from(Platform),
    st.sampled_from(EntryMode),
    st.sampled_from(Subarch),
    st.booleans(),
)
def test_any_header_gives_a_plan_that_holds_the_laws_or_a_refusal(
    content: bytes, platform: Platform, entry: EntryMode, subarch: Subarch, ramdisk: bool
) -> None:
    def plan() -> BootPlan:
        with host_file(content) as file, host_file(RAMDISK) as disk:
            images = (host_image(Role.KERNEL, file), host_image(Role.RAMDISK, disk))
            sources = Sources(images[0], images[1] if ramdisk else None, CMDLINE)
            kernel = recognise(sources.kernel, BootMethod.LINUX)
            assert isinstance(kernel, LinuxKernel)
            target = LinuxTarget(platform, entry, subarch)
            return plan_linux(kernel, sources, guest_map(platform), target, ROM_BYTES)

    planned_ = outcome(plan, HandoffError)
    if isinstance(planned_, HandoffError):
        assert isinstance(planned_, (ConfigError, LayoutError, PlacementError))
        assert str(planned_).isprintable()
        return
    low = [p.range for p in planned_.placements if p.range.start < MIB]
    assert first_overlap(low) is None
    assert all(where.end <= 0x9F000 for where in low)
    assert all(p.range.end <= 64 * MIB for p in planned_.placements)
