"""Linear to physical addresses, by the page tables the guest has set up.

Source: Intel SDM volume 3, chapter 4 (32-bit, PAE and 4-level paging).
"""

from __future__ import annotations

from dataclasses import dataclass

from toolstack.machine.emulator.cpu import CR0_PAGING, InterruptibleCpu, Register

_PRESENT = 1 << 0
_LARGE = 1 << 7
_CR4_PSE = 1 << 4
_CR4_PAE = 1 << 5
EFER_LONG_MODE_ACTIVE = 1 << 10
_ADDRESS_BITS = 0x000FFFFFFFFFF000


@dataclass(frozen=True, slots=True)
class _Level:
    shift: int
    """address bits below this level's index"""
    large: bool
    """an entry may map a page by itself"""


_TWO_LEVEL = (_Level(22, True), _Level(12, False))
_PAE = (_Level(30, False), _Level(21, True), _Level(12, False))
_FOUR_LEVEL = (_Level(39, False), _Level(30, True), _Level(21, True), _Level(12, False))


def translate(cpu: InterruptibleCpu, linear: int) -> int | None:
    """Physical address of `linear`, None where the guest's tables map nothing."""
    if not cpu.get(Register.CR0) & CR0_PAGING:
        return linear & 0xFFFFFFFF
    cr3, cr4 = cpu.get(Register.CR3), cpu.get(Register.CR4)
    if cpu.efer() & EFER_LONG_MODE_ACTIVE:
        return _walk(cpu, cr3 & _ADDRESS_BITS, linear, _FOUR_LEVEL, 8)
    if cr4 & _CR4_PAE:
        return _walk(cpu, cr3 & 0xFFFFFFE0, linear & 0xFFFFFFFF, _PAE, 8)
    levels = _TWO_LEVEL if cr4 & _CR4_PSE else (_Level(22, False), _Level(12, False))
    return _walk(cpu, cr3 & 0xFFFFF000, linear & 0xFFFFFFFF, levels, 4)


def _walk(
    cpu: InterruptibleCpu, table: int, linear: int, levels: tuple[_Level, ...], entry_bytes: int
) -> int | None:
    indices = 0x1000 // entry_bytes
    for level in levels:
        index = (linear >> level.shift) % indices
        at = table + index * entry_bytes
        entry = int.from_bytes(cpu.read(at, entry_bytes), "little")
        if not entry & _PRESENT:
            return None
        offset_mask = (1 << level.shift) - 1
        if level.shift == 12 or (level.large and entry & _LARGE):
            return (entry & _ADDRESS_BITS & ~offset_mask) | (linear & offset_mask)
        table = entry & _ADDRESS_BITS
    raise AssertionError("the last level maps pages")
