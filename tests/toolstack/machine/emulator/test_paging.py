"""Page table walks."""

import struct

import pytest

from tests.toolstack.machine.emulator.fake_cpu import FakeCpu
from toolstack.machine.emulator.cpu import CR0_PAGING, Register
from toolstack.machine.emulator.paging import EFER_LONG_MODE_ACTIVE, translate

TABLES = 0x10000
PAE, PSE = 1 << 5, 1 << 4


def paged(cr4: int, *, long_mode: bool = False) -> FakeCpu:
    cpu = FakeCpu()
    cpu.set(Register.CR0, CR0_PAGING | 1)
    cpu.set(Register.CR3, TABLES)
    cpu.set(Register.CR4, cr4)
    cpu.efer_value = EFER_LONG_MODE_ACTIVE if long_mode else 0
    return cpu


def entry(cpu: FakeCpu, at: int, value: int, size: int = 8) -> None:
    cpu.write(at, struct.pack("<Q" if size == 8 else "<I", value))


def test_without_paging_an_address_is_itself() -> None:
    assert translate(FakeCpu(), 0x12345678) == 0x12345678


def test_32_bit_tables_map_4_kib_pages() -> None:
    cpu = paged(0)
    entry(cpu, TABLES + 4 * 1, 0x11000 | 3, 4)
    entry(cpu, 0x11000 + 4 * 2, 0x55000 | 3, 4)
    assert translate(cpu, 0x402ABC) == 0x55ABC
    assert translate(cpu, 0x403ABC) is None


@pytest.mark.parametrize(("cr4", "physical"), [(PSE, 0x34567), (0, None)])
def test_4_mib_pages_need_pse(cr4: int, physical: int | None) -> None:
    cpu = paged(cr4)
    entry(cpu, TABLES + 4 * 1, 0x83, 4)
    assert translate(cpu, 0x434567) == physical


def test_pae_tables_map_2_mib_pages() -> None:
    cpu = paged(PAE)
    entry(cpu, TABLES + 8 * 3, 0x11000 | 1)
    entry(cpu, 0x11000 + 8 * 5, 0x1_0060_0000 | 0x83)
    assert translate(cpu, (3 << 30) + (5 << 21) + 0x1234) == 0x1_0060_1234


def test_long_mode_maps_the_kernel_half() -> None:
    cpu = paged(PAE, long_mode=True)
    entry(cpu, TABLES + 8 * 511, 0x11000 | 3)
    entry(cpu, 0x11000 + 8 * 510, 0x12000 | 3)
    entry(cpu, 0x12000 + 8 * 8, 0x1000000 | 0x83)
    assert translate(cpu, 0xFFFFFFFF81000123) == 0x1000123
    assert translate(cpu, 0xFFFFFFFF81200123) is None
    entry(cpu, 0x11000, 0x80000000 | 0x83)
    assert translate(cpu, 0xFFFFFF8000ABCDEF) == 0x80ABCDEF
