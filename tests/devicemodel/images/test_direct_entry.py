"""What a kernel that is entered directly finds: its registers and the structures it is given."""

from __future__ import annotations

import gzip

import pytest

from devicemodel.images.compression import Format
from handoff.addresses import GpaRange
from handoff.descriptor import BootMethod
from handoff.platforms import Platform
from handoff.report import When
from tests.builders import RAMDISK, noise
from tests.devicemodel.handover import How, plan_of, told, waiting
from tests.devicemodel.images.direct_kernel import (
    BSS_BYTES,
    LINE,
    Entered,
    Header,
    Module,
    code,
    entered,
)
from tests.devicemodel.images.elves import Elf, Load, bzimage, note, phys32_entry
from tests.devicemodel.images.packing import payload

FIRST = Module(RAMDISK, 0x600000, b"vmlinuz", b"console=hvc0 of=dom0")
SECOND = Module(noise(0x2001, 51), 0x700000)
AUTO = How()

platforms = pytest.mark.parametrize("platform", Platform, ids=lambda platform: platform.value)


def both_ways(
    kernel: bytes, modules: tuple[Module, ...], platform: Platform, how: How = AUTO
) -> Entered:
    """The kernel's find by handoff, when a native start was shown to be the same."""
    handed = entered(kernel, modules, platform, how, native=False)
    native = entered(kernel, modules, platform, how, native=True)
    assert told(plan_of(native.done)) == told(plan_of(handed.done))
    assert waiting(native.done) == waiting(handed.done)
    for where in waiting(handed.done):
        assert native.ram[where.start : where.end] == handed.ram[where.start : where.end]
    return handed


def direct_elf(base: int, bits: int = 32, **more: bytes) -> bytes:
    """The kernel as an ELF with its note."""
    end = base + len(code(base, base + 0x4000)) + BSS_BYTES
    text = code(base, end)
    notes = phys32_entry(base, 4 if bits == 32 else 8) + more.get("notes", b"")
    return Elf((Load(base, text, end - base),), bits=bits, entry=base, notes=notes).build()


def check_map(found: Entered, records: list[tuple[int, int, int]]) -> None:
    """The map is firmware's: RAM from 0 to the end of the guest's."""
    assert records[0][0] == 0
    assert [r for r in records if r[2] == 1][-1][0] == 0x100000
    assert len(records) >= 4


def check_pvh(found: Entered, modules: tuple[Module, ...]) -> None:
    info = found.ebx
    assert found.dwords(info, 4) == (0x336EC578, 1, 0, len(modules))
    modlist, cmdline, rsdp, memmap = found.quads(info + 16, 4)
    assert found.string(cmdline) == LINE
    assert rsdp == 0  # the emulator's BIOS makes no ACPI tables
    assert (modlist != 0) == bool(modules)
    for number, module in enumerate(modules):
        start, size, line, zero = found.quads(modlist + 32 * number, 4)
        assert found.ram[start : start + size] == module.content
        assert start % 0x1000 == zero == 0
        assert (found.string(line) if line else b"") == module.arguments
    count, reserved = found.dwords(info + 48, 2)
    assert reserved == 0
    entries = [
        (*found.quads(memmap + 24 * index, 2), *found.dwords(memmap + 24 * index + 16, 2))
        for index in range(count)
    ]
    assert all(entry[3] == 0 for entry in entries)
    check_map(found, [entry[:3] for entry in entries])


@platforms
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("base", [0x100000, 0x200000, 0x1234000])
def test_a_pvh_kernel_finds_its_start_info(base: int, bits: int, platform: Platform) -> None:
    modules = (FIRST, SECOND)
    found = both_ways(direct_elf(base, bits), modules, platform)
    assert found.dirty_bss_bytes == 0
    assert found.cr0 & 0x80000001 == 1
    assert found.eflags & ~0x8D5 == 2
    check_pvh(found, modules)
    plan = plan_of(found.done)
    assert plan.method == f"pvh, ELF{bits}"
    starts = {(p.when, int(p.range.start)) for p in plan.placements if p.name == "kernel"}
    staged = base == 0x100000 and platform is Platform.XEN_HVM
    assert starts == ({(When.NOW, 0x200000), (When.BEV, base)} if staged else {(When.NOW, base)})


@pytest.mark.parametrize("modules", [(), (SECOND,)], ids=["none", "one"])
def test_a_pvh_kernel_may_have_no_module_and_a_module_no_command_line(
    modules: tuple[Module, ...],
) -> None:
    check_pvh(both_ways(direct_elf(0x200000), modules, Platform.QEMU_PC), modules)


@pytest.mark.parametrize("format", Format, ids=lambda format: format.value)
def test_a_bzimage_packed_in_any_format_is_started_by_its_elf(format: Format) -> None:
    kernel = bzimage(payload(direct_elf(0x200000, 64), format))
    how = How(boot=BootMethod.PVH)
    found = both_ways(kernel, (FIRST,), Platform.XEN_HVM, how)
    check_pvh(found, (FIRST,))
    assert plan_of(found.done).method == f"pvh, ELF64 (bzImage, {format.value})"


def test_a_kernel_that_may_be_moved_is_moved_where_its_place_is_taken() -> None:
    """Linked at 62 MiB, in firmware's zone; it runs wherever a page begins."""
    at_home = direct_elf(0x3F80000, notes=note(19, (0x1000).to_bytes(4, "little")))
    # Its code is bound to its address: what runs elsewhere is the same code linked there.
    moved = direct_elf(0x200000)
    kernel = at_home[: -len(code(0, 0))] + moved[-len(code(0, 0)) :]
    found = both_ways(kernel, (FIRST,), Platform.XEN_HVM)
    check_pvh(found, (FIRST,))
    assert plan_of(found.done).block.entry.eip == 0x200000  # type: ignore[union-attr]


def multiboot_file(base: int, header: Header) -> bytes:
    end = base + len(code(base, base + 0x4000, header)) + BSS_BYTES
    text = code(base, end, header)
    if header is Header.ADDRESSES:
        return text
    # An ELF linked at high addresses, entered behind its header of 32 bytes; e_entry is of the
    # one kind or of the other.
    load = Load(base, text, end - base, vaddr=0xC0000000 + base)
    high = 0 if base == 0x100000 else 0xC0000000
    return Elf((load,), bits=32, entry=high + base + 32).build()


def check_multiboot(found: Entered, modules: tuple[Module, ...]) -> None:
    assert found.eax == 0x2BADB002
    info = found.ebx
    flags, lower, upper, device, cmdline, count, table = found.dwords(info, 7)
    assert (flags, device, count) == (0x24F, 0x8000FFFF, len(modules))
    assert (lower, upper) == (639, 64 * 1024 - 1024)
    assert found.string(cmdline) == b"kernel " + LINE
    ends = []
    for number, module in enumerate(modules):
        start, end, string, zero = found.dwords(table + 16 * number, 4)
        assert found.ram[start:end] == module.content
        assert start % 0x1000 == zero == 0
        behind = b" " + module.arguments if module.arguments else b""
        assert found.string(string) == module.name + behind
        ends.append(GpaRange.between(start, end))
    assert ends == sorted(ends)
    assert found.dwords(info + 28, 4) == (0, 0, 0, 0)
    length, mmap = found.dwords(info + 44, 2)
    records = []
    at = mmap
    while at < mmap + length:
        (size,) = found.dwords(at, 1)
        assert size == 20
        records.append((*found.quads(at + 4, 2), *found.dwords(at + 20, 1)))
        at += size + 4
    assert at == mmap + length
    check_map(found, records)
    assert found.dwords(info + 52, 3) == (0, 0, 0)
    (name,) = found.dwords(info + 64, 1)
    assert found.string(name) == b"stubdom-direct-boot"
    assert found.dwords(info + 68, 5) == (0,) * 5


@platforms
@pytest.mark.parametrize("header", [Header.ADDRESSES, Header.PLAIN], ids=["fields", "elf"])
@pytest.mark.parametrize("base", [0x100000, 0x200000])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_multiboot_kernel_finds_its_information(
    base: int, header: Header, packed: bool, platform: Platform
) -> None:
    modules = (FIRST, SECOND)
    file = multiboot_file(base, header)
    kernel = gzip.compress(file, mtime=0) if packed else file
    found = both_ways(kernel, modules, platform)
    assert found.dirty_bss_bytes == 0
    assert found.cr0 & 0x80000001 == 1
    check_multiboot(found, modules)


def test_a_multiboot_kernel_may_have_no_module() -> None:
    kernel = multiboot_file(0x200000, Header.ADDRESSES)
    check_multiboot(both_ways(kernel, (), Platform.QEMU_PC), ())


def test_a_file_with_a_multiboot_header_and_a_note_is_started_by_either() -> None:
    """QEMU looks for the header first."""
    base = 0x200000
    text = code(base, base + 0x4000, Header.PLAIN)
    elf = Elf(
        (Load(base, text, 0x4000),), bits=32, entry=base + 32, notes=phys32_entry(base + 32, 4)
    ).build()
    check_multiboot(both_ways(elf, (FIRST,), Platform.QEMU_PC), (FIRST,))
    how = How(boot=BootMethod.PVH)
    check_pvh(both_ways(elf, (FIRST,), Platform.QEMU_PC, how), (FIRST,))
