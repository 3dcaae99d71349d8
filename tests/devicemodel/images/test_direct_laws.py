"""Laws of placement for kernels that are entered directly, whatever their segments are."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.bios_extension.block import Copy, ProtectedModeEntry, Zero
from devicemodel.guest_map import GuestMap
from devicemodel.images.elf import read_elf
from devicemodel.images.multiboot import MultibootKernel, plan_multiboot
from devicemodel.images.multiboot_header import MultibootHeader
from devicemodel.images.pvh import plan_pvh, pvh_kernel
from devicemodel.images.source import Image, Sources
from devicemodel.plan import BootPlan
from handoff.addresses import FOUR_GIB, MIB, PAGE, Gpa, GpaRange, first_overlap
from handoff.descriptor import Role
from handoff.errors import DoesNotFit, PlacementError
from handoff.platforms import Platform, ranges
from handoff.platforms import Until as Kept
from handoff.report import MOVES_MAX, PLACEMENTS_MAX, When
from tests.builders import host_file, noise, outcome
from tests.devicemodel.images.elves import Elf, Load, note, phys32_entry
from tests.devicemodel.plans import ROM_BYTES, guest_map

LINE = b"console=ttyS0"


@dataclass(frozen=True, slots=True)
class Wish:
    elf: Elf
    module_sizes: tuple[int, ...]
    guest: GuestMap
    pvh: bool


def planned(wish: Wish) -> BootPlan:
    """The plan; module files are never read for it."""
    elf = read_elf(memoryview(wish.elf.build()))
    with host_file(b"x") as file:
        images = [
            Image(Role.MODULE, file, size, b"name", b"argument" * (number % 2))
            for number, size in enumerate(wish.module_sizes)
        ]
        kernel = Image(Role.KERNEL, file, 1, b"kernel")
        sources = Sources(kernel, images[0] if images else None, LINE, tuple(images[1:]))
        if wish.pvh:
            found = pvh_kernel(elf, bytes(32), "")
            assert found is not None
            return plan_pvh(found, sources, wish.guest, ROM_BYTES)
        header = MultibootHeader(0, 0, None)
        multiboot = MultibootKernel(elf.segments, Gpa(wish.elf.entry), bytes(32), "ELF32", header)
        return plan_multiboot(multiboot, sources, wish.guest, ROM_BYTES)


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    at = draw(st.sampled_from([0, 0x7C00, 0x10000, 0x100000, 0x200000, 30 * MIB, 0xFFFF0000]))
    loads = []
    for _ in range(draw(st.integers(1, 5))):
        at += draw(st.integers(0, 4 * MIB))
        content = noise(draw(st.integers(0, 0x3000)), 7)
        size = max(len(content) + draw(st.sampled_from([0, 1, 0x5000, 9 * MIB])), 1)
        if at + size > FOUR_GIB:
            break
        loads.append(Load(at, content, size))
        at += size
    loads = loads or [Load(0x200000, b"x", 1)]
    entry = loads[0].paddr
    notes = phys32_entry(entry)
    if draw(st.booleans()):
        notes += note(19, struct.pack("<II", draw(st.sampled_from([0x1000, 0x200000])), 0x180000))
    sizes = st.integers(1, 20 * MIB) | st.sampled_from([1, PAGE, PAGE + 1])
    return Wish(
        Elf(tuple(loads), entry=entry, notes=notes),
        tuple(draw(st.lists(sizes, max_size=15))),
        guest_map(draw(st.sampled_from(Platform)), draw(st.integers(64, 160)) * MIB),
        draw(st.booleans()),
    )


@given(wishes())
def test_nothing_overlaps_and_every_byte_of_a_segment_has_its_place(wish: Wish) -> None:
    plan = outcome(lambda: planned(wish), PlacementError)
    if isinstance(plan, PlacementError):
        assert str(plan).isprintable()
        return
    reserved = wish.guest.reserved
    now = [p.range for p in plan.placements if p.when is When.NOW]
    now += [plan.block_range, plan.rom_staging]
    later = [p.range for p in plan.placements if p.when is When.BEV]
    assert first_overlap(now) is None
    assert first_overlap(later) is None
    for where in now:
        assert not any(where.overlaps(taken) for taken in ranges(reserved))
    for where in later:
        assert not any(where.overlaps(taken) for taken in ranges(reserved, Kept.ALWAYS))
    for where in (*now, *later):
        assert any(ram.contains(where) for ram in wish.guest.e820.ram())
    assert len(plan.placements) + 2 <= PLACEMENTS_MAX
    assert len(wish.module_sizes) + 1 <= MOVES_MAX

    entry = plan.block.entry
    assert isinstance(entry, ProtectedModeEntry)
    up = entry.eip - wish.elf.entry
    final: dict[int, bytes] = {}
    for placed in plan.placements:
        if placed.name == "kernel" and placed.when is When.NOW:
            assert isinstance(placed.content, memoryview)
            final[placed.range.start] = bytes(placed.content)
    for step in plan.block.steps:
        if isinstance(step, Copy):
            final[step.to] = final.pop(step.source.start)
    loads = sorted(wish.elf.loads, key=lambda load: load.paddr)
    assert final == {load.paddr + up: load.content for load in loads if load.content}
    zeroed = {step.where for step in plan.block.steps if isinstance(step, Zero)}
    assert zeroed == {
        GpaRange.between(load.paddr + up + len(load.content), load.paddr + up + (load.memsz or 0))
        for load in loads
        if (load.memsz or 0) > len(load.content)
    }
    # The gaps between segments are the kernel's, too.
    whole = GpaRange.between(loads[0].paddr + up, loads[-1].paddr + up + (loads[-1].memsz or 0))
    for other in (plan.block_range, plan.rom_staging):
        assert not whole.overlaps(other)
    modules = [p.range for p in plan.placements if p.name.startswith(("ramdisk", "module"))]
    assert [where.size for where in modules] == list(wish.module_sizes)
    assert modules == sorted(modules)
    for module in modules:
        assert module.start % PAGE == 0
        assert not whole.overlaps(module)


@pytest.mark.parametrize("pvh", [True, False], ids=["pvh", "multiboot"])
def test_a_kernel_that_does_not_fit_is_refused_with_its_footprint(pvh: bool) -> None:
    load = Load(0x1000000, b"kernel", 80 * MIB)
    wish = Wish(
        Elf((load,), entry=load.paddr, notes=phys32_entry(load.paddr)),
        (),
        guest_map(Platform.QEMU_PC, 64 * MIB),
        pvh,
    )
    with pytest.raises(DoesNotFit) as refused:
        planned(wish)
    assert "kernel segment (p_paddr 0x1000000) needs [0x1000000, 0x6000000)" in str(refused.value)
    assert "give the guest at least 33 MiB more memory" in refused.value.remedy


@pytest.mark.parametrize("at", [0x7000, 0x8000, 0x9F000, 0xA0000, 0xFFFFF])
def test_a_segment_where_firmware_or_the_bios_extension_works_is_refused(at: int) -> None:
    elf = Elf((Load(at, b"kernel"),), entry=at, notes=phys32_entry(at))
    with pytest.raises(PlacementError):
        planned(Wish(elf, (), guest_map(Platform.QEMU_PC), True))


def test_a_kernel_that_may_be_moved_but_finds_no_room_is_refused_at_its_own_place() -> None:
    reloc = note(19, struct.pack("<III", 0x1000, 0, 32 * MIB - 1))
    at = 60 * MIB
    for size in (32 * MIB, 40 * MIB):
        elf = Elf((Load(at, b"kernel", size),), entry=at, notes=phys32_entry(at) + reloc)
        with pytest.raises(DoesNotFit, match="p_paddr 0x3c00000"):
            planned(Wish(elf, (), guest_map(Platform.QEMU_PC), True))


def test_modules_are_one_run_even_where_their_sizes_are_odd() -> None:
    elf = Elf((Load(0x200000, b"kernel"),), entry=0x200000, notes=phys32_entry(0x200000))
    plan = planned(Wish(elf, (1, PAGE + 1, 5), guest_map(Platform.QEMU_PC), True))
    starts = [
        p.range.start for p in plan.placements if p.name in ("ramdisk", "module 1", "module 2")
    ]
    assert starts == [0x1FFC000, 0x1FFD000, 0x1FFF000]
