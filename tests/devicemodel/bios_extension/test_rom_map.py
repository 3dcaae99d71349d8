"""The memory map, the counters and the RSDP a kernel is told, on a PC with real SeaBIOS."""

from __future__ import annotations

import struct

import pytest

from devicemodel.bios_extension.block import (
    Copy,
    CountForm,
    E820Collection,
    E820Format,
)
from handoff.addresses import Gpa
from tests.devicemodel.bios_extension.bench import (
    MAP,
    STAGING,
    Bench,
    at,
    dwords,
    firmware_map,
    protected_block,
    real_mode_block,
    records,
)
from tests.devicemodel.bios_extension.seabios import (
    POISON,
    RAM_BYTES,
)


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_the_kernel_gets_the_map_that_firmware_gives(bench: Bench, machine: str) -> None:
    block, staged = real_mode_block(bench, e820=MAP)
    ram = bench.boot(block, staged, machine=machine).ram
    seen = firmware_map(ram)
    count = ram[MAP.count]
    assert records(ram, MAP.records, count) == seen
    assert ram[MAP.records + 20 * count] == POISON[0]
    assert seen[0] == (0, 0x9FC00, 1)
    (upper,) = [length for base, length, kind in seen if base == 0x100000 and kind == 1]
    assert RAM_BYTES - 0x200000 < 0x100000 + upper < RAM_BYTES
    assert dwords(ram, 0x38FFF0, 2) == (639, upper >> 10)


@pytest.mark.parametrize(
    ("form", "count_form"),
    [
        (E820Format.MULTIBOOT, CountForm.U32_BYTES),
        (E820Format.PVH, CountForm.U32_RECORDS),
    ],
)
def test_the_map_is_stored_in_the_form_the_kernel_reads(
    bench: Bench, form: E820Format, count_form: CountForm
) -> None:
    table, count_at = Gpa(0x390000), Gpa(0x391004)
    # The structure around the counter is itself copied there: the counter must survive that.
    fill = Copy(at(0x800000, 0x2000), table)
    wanted = E820Collection(form, table, 64, count_at, count_form)
    block, staged = real_mode_block(bench, fill, e820=wanted)
    ram = bench.boot(block, staged | {0x800000: b"\x77" * 0x2000}).ram
    expected = b"".join(
        struct.pack("<IQQI", 20, *record)
        if form is E820Format.MULTIBOOT
        else struct.pack("<QQII", *record, 0)
        for record in firmware_map(ram)
    )
    assert ram[table : table + len(expected) + 1] == expected + b"\x77"
    count = len(expected) if count_form is CountForm.U32_BYTES else len(expected) // 24
    assert dwords(ram, count_at - 4, 3) == (0x77777777, count, 0x77777777)


def test_the_rsdp_that_firmware_made_is_told(bench: Bench) -> None:
    block, payload = protected_block(bench, rsdp=Gpa(0x38F000))
    ram = bench.boot(block, {STAGING: payload}).ram
    (rsdp,) = struct.unpack_from("<Q", ram, 0x38F000)
    # The BIOS area of a PC's RAM is not where QEMU shadows it: look at the address only.
    assert 0xE0000 <= rsdp < 0x100000
    assert rsdp % 16 == 0
    assert ram[0x38F008] == POISON[0]


def test_without_acpi_the_rsdp_is_stored_as_absent(bench: Bench) -> None:
    block, payload = protected_block(bench, rsdp=Gpa(0x38F000))
    ram = bench.boot(block, {STAGING: payload}, machine="pc,acpi=off").ram
    assert ram[0x38F000:0x38F009] == bytes(8) + POISON


def test_a_map_that_just_fits_is_taken(bench: Bench) -> None:
    block, staged = real_mode_block(bench, e820=MAP)
    count = bench.boot(block, staged).ram[MAP.count]
    exact = E820Collection(
        E820Format.BARE, Gpa(0x390000), count, Gpa(0x38FFFF), CountForm.U8_RECORDS
    )
    block, staged = real_mode_block(bench, e820=exact)
    assert bench.boot(block, staged).ram[MAP.count] == count
