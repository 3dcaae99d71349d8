"""Kernels that people boot, started directly: what is in them, and that both ways in are one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devicemodel.images.compression import Format
from devicemodel.images.elf import EM_386, footprint, read_elf
from devicemodel.images.elf_notes import XenNotes, read_xen_notes
from devicemodel.images.payload import unpack_bzimage, unpack_gzip
from devicemodel.images.setup_header import HEAD_BYTES, read_setup_header
from devicemodel.plan import BootPlan
from handoff.addresses import MIB, GpaRange
from handoff.descriptor import BootMethod
from handoff.platforms import Platform
from tests.builders import RAMDISK, host_files, poisoned_guest
from tests.devicemodel.handover import (
    How,
    Staged,
    discovered,
    discovered_native,
    plan_of,
    through,
    told,
    waiting,
)
from tests.devicemodel.images.elves import bzimage
from tests.devicemodel.images.packing import payload
from toolstack.images import ensure

SHIM = Path("/usr/lib/xen-4.17/boot/xen-shim")
"""Of xen-utils: Xen as a PVH guest, an ELF32."""
GUEST_BYTES = 192 * MIB
PVH = How(boot=BootMethod.PVH)


@pytest.fixture(scope="module")
def debian() -> bytes:
    return ensure(("vmlinuz",))[0].path.read_bytes()


@pytest.fixture(scope="module")
def xen() -> bytes:
    return ensure(("xen.gz",))[0].path.read_bytes()


@pytest.fixture(scope="module")
def vmlinux(debian: bytes) -> bytes:
    header = read_setup_header(debian[:HEAD_BYTES], len(debian))
    return bytes(unpack_bzimage(memoryview(debian), header, GUEST_BYTES).data)


def both_ways(kernel: bytes, how: How = PVH) -> BootPlan:
    """The plan, which is the same from host files and from RAM, as the bytes it leads to are."""
    with poisoned_guest(Platform.XEN_HVM, GUEST_BYTES) as guest:
        with host_files(kernel, RAMDISK) as opened:
            native = through(discovered_native(guest, opened, how=how), guest)
        filled = {where: guest.ram.digest(where) for where in waiting(native)}
    with poisoned_guest(Platform.XEN_HVM, GUEST_BYTES) as guest:
        # Overlaps where the kernel goes; unpacked it also covers what the toolstack staged.
        staged = Staged(kernel, 0x1001000, RAMDISK, 0x9800000, how=how)
        done = through(discovered(guest, staged), guest)
        assert told(plan_of(done)) == told(plan_of(native))
        assert {where: guest.ram.digest(where) for where in waiting(done)} == filled
    return plan_of(done)


def test_debians_kernel_has_the_elf_and_the_note_that_were_measured(vmlinux: bytes) -> None:
    elf = read_elf(memoryview(vmlinux))
    entry = read_xen_notes(elf).phys32_entry
    assert (elf.bits, elf.entry) == (64, 0x1000000)
    assert entry is not None
    assert elf.segments[0].range.start <= entry < elf.segments[0].range.end
    if len(vmlinux) == 53243444:  # linux-image-cloud-amd64 6.1.192
        assert footprint(elf.segments) == GpaRange.between(0x1000000, 0x3E00000)
        assert [int(s.range.start) for s in elf.segments] == [
            0x1000000,
            0x2A00000,
            0x301A000,  # per-cpu data, whose virtual address is 0
            0x304E000,
        ]
        assert [s.vaddr for s in elf.segments][2] == 0
        assert entry == 0x1000850


def test_each_compression_leads_to_the_same_plan(vmlinux: bytes, debian: bytes) -> None:
    """The whole kernel again, so that windows and blocks are as long as in real files."""
    plans = {"as it is": both_ways(debian)}
    assert plans["as it is"].method == "pvh, ELF64 (bzImage, lz4)"
    for format in Format:
        kernel = bzimage(payload(vmlinux, format), init_size=64 * MIB)
        plans[format.value] = both_ways(kernel)
        assert plans[format.value].method == f"pvh, ELF64 (bzImage, {format.value})"
    one, *others = [told(replace(plan, method="")) for plan in plans.values()]
    for other in others:
        assert other == one


def test_xens_hypervisor_is_an_elf32_without_the_note(xen: bytes) -> None:
    elf = read_elf(unpack_gzip(memoryview(xen), GUEST_BYTES).data)
    assert (elf.bits, elf.machine, len(elf.segments)) == (32, EM_386, 1)
    assert read_xen_notes(elf) == XenNotes(None, None)


def test_xens_shim_is_started_by_its_multiboot_header_or_by_its_note() -> None:
    """The header is looked for first; the note has four bytes."""
    shim = SHIM.read_bytes()
    assert both_ways(shim, How()).method == "multiboot, ELF32"
    plan = both_ways(shim)
    assert plan.method == "pvh, ELF32"
    entry = read_xen_notes(read_elf(memoryview(shim))).phys32_entry
    assert plan.block.entry.eip == entry  # type: ignore[union-attr]
