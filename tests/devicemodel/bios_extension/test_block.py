"""What a parameter block may say."""

from __future__ import annotations

import pytest

from devicemodel.bios_extension.block import (
    E820_MAX_RECORDS,
    MAX_STEPS,
    SCRATCH,
    Copy,
    CountForm,
    E820Collection,
    E820Format,
    LongModeEntry,
    ParameterBlock,
    ProtectedModeEntry,
    RealModeEntry,
    Zero,
)
from handoff.addresses import FOUR_GIB, Gpa, GpaRange
from handoff.errors import LayoutError, PlacementError

ENTRY = ProtectedModeEntry(Gpa(0x100000))
SOURCE = GpaRange(Gpa(0x400000), 0x1000)


def collection(
    records: int = 0x90000,
    max_records: int = 16,
    count: int = 0x8F000,
    mem_lower: int | None = None,
    mem_upper: int | None = None,
) -> E820Collection:
    return E820Collection(
        E820Format.MULTIBOOT,
        Gpa(records),
        max_records,
        Gpa(count),
        CountForm.U32_BYTES,
        None if mem_lower is None else Gpa(mem_lower),
        None if mem_upper is None else Gpa(mem_upper),
    )


@pytest.mark.parametrize("to", [SCRATCH.end, 0x10000, 0x9F000, 0x100000, FOUR_GIB - 0x1000])
def test_a_step_may_write_ram_outside_the_firmwares_and_the_roms_own(to: int) -> None:
    assert Copy(SOURCE, Gpa(to)).to == to
    assert Zero(GpaRange(Gpa(to), 0x1000)).where.start == to


@pytest.mark.parametrize(
    ("to", "why"),
    [
        (0, "interrupt vectors"),
        (SCRATCH.start, "scratch"),
        (SCRATCH.end - 1, "scratch"),
        (0x9F001, "VGA"),
        (0xC0000, "option ROMs"),
        (0xFFFFF, "BIOS"),
        (FOUR_GIB - 0xFFF, "4 GiB"),
    ],
)
def test_no_step_may_write_elsewhere(to: int, why: str) -> None:
    with pytest.raises(PlacementError, match=f"{to:#x}.*{why}"):
        Copy(SOURCE, Gpa(to))
    with pytest.raises(PlacementError, match=f"{to:#x}.*{why}"):
        Zero(GpaRange(Gpa(to), 0x1000))


def test_a_source_above_four_gibibytes_is_out_of_reach() -> None:
    with pytest.raises(PlacementError, match="copy source"):
        Copy(GpaRange(Gpa(FOUR_GIB - 1), 2), Gpa(0x100000))


@pytest.mark.parametrize("field", ["records", "count", "mem_lower", "mem_upper"])
def test_the_map_and_its_counters_obey_the_same_rule(field: str) -> None:
    with pytest.raises(PlacementError, match=rf"e820\.{field}"):
        collection(**{field: SCRATCH.end - 1})


def test_the_whole_table_counts_not_its_start() -> None:
    collection(records=0xA0000 - 16 * 24)
    with pytest.raises(PlacementError, match=r"e820\.records"):
        collection(records=0xA0000 - 16 * 24 + 1)


@pytest.mark.parametrize("max_records", [0, E820_MAX_RECORDS + 1])
def test_the_table_has_room_for_one_to_128_records(max_records: int) -> None:
    with pytest.raises(LayoutError, match="max_records"):
        collection(records=0x200000, max_records=max_records)


def test_the_rsdp_is_stored_as_eight_bytes() -> None:
    ParameterBlock(ENTRY, rsdp=Gpa(0xA0000 - 8))
    with pytest.raises(PlacementError, match="rsdp"):
        ParameterBlock(ENTRY, rsdp=Gpa(0xA0000 - 7))


def test_a_block_holds_max_steps() -> None:
    step = Copy(SOURCE, Gpa(0x100000))
    ParameterBlock(ENTRY, (step,) * MAX_STEPS)
    with pytest.raises(LayoutError, match="step_count"):
        ParameterBlock(ENTRY, (step,) * (MAX_STEPS + 1))


@pytest.mark.parametrize("field", ["cs", "ip", "ss", "sp", "ds"])
@pytest.mark.parametrize("value", [-1, 0x10000])
def test_real_mode_registers_have_16_bits(field: str, value: int) -> None:
    registers = {"cs": 0, "ip": 0, "ss": 0, "sp": 0, "ds": 0} | {field: value}
    with pytest.raises(LayoutError, match=rf"entry\.{field}"):
        RealModeEntry(**registers)


@pytest.mark.parametrize("field", ["eax", "ebx", "esi"])
def test_protected_mode_registers_have_32_bits(field: str) -> None:
    with pytest.raises(LayoutError, match=rf"entry\.{field}"):
        ProtectedModeEntry(Gpa(0), **{field: FOUR_GIB})


def test_page_tables_are_page_aligned_and_in_ram() -> None:
    with pytest.raises(LayoutError, match="page_tables"):
        LongModeEntry(Gpa(0x100200), 0x90000, Gpa(0x200800))
    with pytest.raises(PlacementError, match="page_tables"):
        LongModeEntry(Gpa(0x100200), 0x90000, Gpa(0x9B000))
    with pytest.raises(LayoutError, match="rip"):
        LongModeEntry(Gpa(FOUR_GIB), 0x90000, Gpa(0x200000))
