"""What a kernel finds at its entry, on a PC with real SeaBIOS."""

from __future__ import annotations

import struct

import pytest

from devicemodel.bios_extension.block import (
    DEFAULT_BLOCK_GPA,
    PAGE_TABLES_BYTES,
    SCRATCH,
    Copy,
    LongModeEntry,
    ParameterBlock,
)
from devicemodel.bios_extension.block_codec import encode
from handoff.addresses import Gpa
from tests.devicemodel.bios_extension.bench import (
    REAL,
    RESULT,
    STAGING,
    Bench,
    at,
    dwords,
    protected_block,
    real_mode_block,
)
from tests.devicemodel.bios_extension.seabios import (
    FINISHED,
    POISON,
    RAM_BYTES,
    run,
)


@pytest.mark.parametrize(
    ("machine", "options"),
    [
        ("pc", ()),
        ("pc", ("-global", "apic-common.vapic=off")),
        ("q35", ()),
        ("pc", ("-smp", "2")),
        ("pc", ("-vga", "std")),
        ("pc", ("-cpu", "qemu32")),
    ],
    ids=["pc", "read-only option ROMs", "q35", "two CPUs", "VGA ROM", "32-bit CPU"],
)
def test_real_mode_entry_state_is_the_linux_boot_protocols(
    bench: Bench, machine: str, options: tuple[str, ...]
) -> None:
    block, staged = real_mode_block(bench)
    ram = bench.boot(block, staged, *options, machine=machine).ram
    registers = dwords(ram, 0x10200, 8)
    assert registers == (0, 0, 0, 0, 0, 0, 0, REAL.sp)
    cs, *data = (dwords(ram, 0x10220 + 4 * index, 1)[0] & 0xFFFF for index in range(6))
    assert cs == REAL.cs
    assert data == [0x1000] * 5
    flags, cr0 = dwords(ram, 0x10238, 2)
    assert flags & ~0x8D5 == 2  # all but the arithmetic flags: IF, DF, TF clear
    assert cr0 & 0x80000001 == 0
    assert struct.unpack_from("<HI", ram, 0x10240) == (0x3FF, 0)  # the BIOS's interrupt table
    assert dwords(ram, 0x10248, 1)[0] & 0xFFFF == REAL.ip
    assert dwords(ram, 0x1024C, 1)[0] & 0xFFFF == 639


def test_the_rom_works_at_another_segment(bench: Bench) -> None:
    block, staged = real_mode_block(bench)
    alone = bench.boot(block, staged, "-global", "apic-common.vapic=off").ram
    others = [bench.other_rom("other_rom"), bench.other_rom("other_rom", "z")]
    more = run({int(DEFAULT_BLOCK_GPA): encode(block)} | staged, [*others, bench.our_rom()])
    assert more.status == FINISHED
    segments = [struct.unpack_from("<H", ram, 0x8088)[0] for ram in (alone, more.ram)]
    assert segments[0] != segments[1]
    assert all(segment % 0x80 == 0 and segment >= 0xC000 for segment in segments)


def test_a_block_staged_elsewhere_is_found_where_the_rom_was_told(bench: Bench) -> None:
    block, staged = real_mode_block(bench)
    place = Gpa(RAM_BYTES // 2 - 0x1000)
    ended = run({int(place): encode(block)} | staged, [bench.our_rom(place)])
    assert ended.status == FINISHED


@pytest.mark.parametrize(
    ("machine", "options"),
    [("pc", ()), ("pc", ("-global", "apic-common.vapic=off")), ("q35", ())],
    ids=["pc", "read-only option ROMs", "q35"],
)
def test_protected_mode_entry_state_satisfies_linux_multiboot_and_pvh(
    bench: Bench, machine: str, options: tuple[str, ...]
) -> None:
    block, payload = protected_block(bench)
    ram = bench.boot(block, {STAGING: payload}, *options, machine=machine).ram
    eax, ebx, ecx, edx, esi, edi, ebp, esp = dwords(ram, RESULT, 8)
    assert (eax, ebx, esi) == (0x2BADB002, 0x11223344, 0x55667788)
    assert (ecx, edx, edi, ebp) == (0, 0, 0, 0)
    assert SCRATCH.start < esp <= SCRATCH.end
    assert dwords(ram, RESULT + 0x20, 6) == (0x10, 0x18, 0x18, 0x18, 0x18, 0x18)
    flags, cr0, cr4, tr = dwords(ram, RESULT + 0x38, 4)
    assert flags == 2
    assert cr0 == 0x11  # PE, and ET, which cannot be cleared
    assert cr4 == 0
    limit, base = struct.unpack_from("<HI", ram, RESULT + 0x48)
    assert SCRATCH.start <= base < base + limit < SCRATCH.end
    descriptors = {s: ram[base + s : base + s + 8].hex() for s in (0x10, 0x18, tr)}
    assert descriptors[0x10] == "ffff0000009bcf00"  # code, 32-bit, base 0, limit 4 GiB, accessed
    assert descriptors[0x18] == "ffff00000093cf00"  # data, the same
    assert descriptors[tr] == "67000000008b0000"  # busy 32-bit TSS, base 0, limit 0x67
    assert dwords(ram, RESULT + 0x50, 1) == (0x100000,)


def test_long_mode_entry_maps_the_low_four_gibibytes_to_themselves(bench: Bench) -> None:
    tables = 0x700000
    payload = bench.payload("long", ENTRY=0x1000200, RESULT=RESULT)
    copy = Copy(at(STAGING, len(payload)), Gpa(0x1000200))
    entry = LongModeEntry(rip=Gpa(0x1000200), rsi=0x90000, page_tables=Gpa(tables))
    ram = bench.boot(ParameterBlock(entry, (copy,)), {STAGING: payload}).ram
    fields = struct.unpack_from("<18Q", ram, RESULT)
    rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, cs, ds, es, ss, flags, cr0, cr3, cr4, efer, rip = fields
    assert (rax, rbx, rcx, rdx, rdi, rbp) == (0, 0, 0, 0, 0, 0)
    assert rsi == 0x90000
    assert SCRATCH.start < rsp <= SCRATCH.end
    assert (cs, ds, es, ss, flags) == (0x10, 0x18, 0x18, 0x18, 2)
    assert cr0 == 0x80000011
    assert (cr3, cr4) == (tables, 0x20)
    assert efer & 0x500 == 0x500  # LME and LMA
    assert rip == 0x1000200
    top, pointers, *pages = (
        struct.unpack_from("<512Q", ram, tables + 0x1000 * index) for index in range(6)
    )
    assert [entry & ~0x20 for entry in top] == [tables + 0x1000 | 3] + [0] * 511
    directories = [tables + 0x2000 + 0x1000 * index | 3 for index in range(4)]
    assert [entry & ~0x20 for entry in pointers] == directories + [0] * 508
    leaves = [entry & ~0x60 for directory in pages for entry in directory]  # accessed, dirty
    assert leaves == [0x200000 * index | 0x83 for index in range(2048)]
    end = tables + PAGE_TABLES_BYTES
    assert ram[tables - 1 : tables] == ram[end : end + 1] == POISON


def test_a20_is_switched_on_when_firmware_left_it_off(bench: Bench) -> None:
    block, payload = protected_block(bench)
    staged = {int(DEFAULT_BLOCK_GPA): encode(block), STAGING: payload}
    ended = run(staged, [bench.other_rom("a20_off_rom"), bench.our_rom()])
    assert ended.serial == "0\n"
    assert ended.status == FINISHED
    assert dwords(ended.ram, RESULT + 0x50, 1) == (0x100000,)
