"""Int 15h: memory map, extended memory copy, A20, and what else boot code asks.

Function 87h has the traps that SeaBIOS has: it writes three descriptors into the caller's
table, so a table in read-only memory ends the guest; and it copies with 16-bit offsets, so
more than 32768 words wrap around inside the first 64 KiB and are reported as success.

Sources: ACPI specification (E820h); Ralf Brown's interrupt list; IBM PC/AT technical reference.
"""

from __future__ import annotations

import struct
from typing import Protocol

from handoff.e820 import E820Map
from toolstack.machine.emulator.bios import layout
from toolstack.machine.emulator.bios.call import UNSUPPORTED, BiosCall
from toolstack.machine.emulator.bios.memory_map import (
    E820_RECORD_BYTES,
    MemorySizes,
    e820_record,
)
from toolstack.machine.emulator.cpu import Cpu, Register
from toolstack.machine.emulator.stop import GuestStopped, StopReason

_SMAP = 0x534D4150
_WINDOW = 0x10000
_TABLE_SLOTS = (0x08, 0x20, 0x28)
"""Offsets of the descriptors that the BIOS fills: the table itself, code, stack."""
_TABLE_SIZE = 0x30
_QUIETLY_FINE = frozenset({0x80, 0x81, 0x82, 0x85, 0x90, 0x91})


class A20Gate(Protocol):
    a20: bool


class SystemServices:
    """Int 15h by AH and AX."""

    def __init__(self, e820: E820Map, gate: A20Gate) -> None:
        self._e820 = e820
        self._sizes = MemorySizes.of(e820)
        self._gate = gate

    def call(self, call: BiosCall) -> None:
        function = call.get(Register.AH)
        if function == 0xE8:
            self._memory(call)
        elif function == 0x24:
            self._a20(call)
        elif function == 0x87:
            copy_extended_memory(call)
        elif function == 0x88:
            call.set(Register.AX, self._sizes.kib_of_function_88())
            call.set_carry(False)
        elif function == 0x86 or function in _QUIETLY_FINE:
            # A wait is over at once: nothing here runs in real time.
            call.succeed()
        elif function == 0xC0:
            call.set(Register.ES, layout.F_SEGMENT)
            call.set(Register.BX, layout.CONFIG_OFFSET)
            call.succeed()
        elif function == 0xC1:
            call.set(Register.ES, layout.EBDA_SEGMENT)
            call.set_carry(False)
        elif function == 0x4F:
            call.set_carry(True)
        else:
            call.fail(UNSUPPORTED)

    def _memory(self, call: BiosCall) -> None:
        function = call.get(Register.AL)
        if function == 0x20:
            self._e820_entry(call)
        elif function == 0x01:
            low, high = self._sizes.kib_below_16_mib(), self._sizes.blocks_above_16_mib()
            for register, value in (
                (Register.AX, low),
                (Register.BX, high),
                (Register.CX, low),
                (Register.DX, high),
            ):
                call.set(register, value)
            call.set_carry(False)
        else:
            call.fail(UNSUPPORTED)

    def _e820_entry(self, call: BiosCall) -> None:
        index, count = call.get(Register.EBX), len(self._e820.entries)
        room = call.get(Register.ECX)
        if call.get(Register.EDX) != _SMAP or index >= count or room < E820_RECORD_BYTES:
            call.fail(UNSUPPORTED)
            return
        at = call.address(Register.ES, Register.DI)
        call.cpu.write(at, e820_record(self._e820, index))
        call.set(Register.EAX, _SMAP)
        call.set(Register.ECX, E820_RECORD_BYTES)
        call.set(Register.EBX, index + 1 if index + 1 < count else 0)
        call.set_carry(False)

    def _a20(self, call: BiosCall) -> None:
        function = call.get(Register.AL)
        if function in (0x00, 0x01):
            self._gate.a20 = function == 0x01
        elif function == 0x02:
            call.set(Register.AL, int(self._gate.a20))
        elif function == 0x03:
            # Both the keyboard controller and port 0x92 gate it.
            call.set(Register.BX, 3)
        else:
            call.fail(UNSUPPORTED)
            return
        call.succeed()


def copy_extended_memory(call: BiosCall) -> None:
    """Function 87h: CX words by the descriptors at ES:SI + 10h and + 18h.

    Raises: GuestStopped where the copy would fault with no handler to catch it.
    """
    table = call.address(Register.ES, Register.SI)
    words = call.get(Register.CX)
    cpu = call.cpu
    if cpu.is_protected(table, _TABLE_SIZE):
        raise _triple_fault(f"its descriptor table at {table:#x} is in read-only memory")
    descriptors = cpu.read(table, _TABLE_SIZE)
    size = min(2 * words, _WINDOW)
    source = _window(descriptors, 0x10, size, "source")
    destination = _window(descriptors, 0x18, size, "destination")
    for slot in _TABLE_SLOTS:
        cpu.write(table + slot, _flat_descriptor(table if slot == 0x08 else 0xF0000))
    _copy_upwards(cpu, source, destination, size)
    call.succeed()


def _window(descriptors: bytes, slot: int, size: int, name: str) -> int:
    limit, low, middle, access, _, high = struct.unpack_from("<HHBBBB", descriptors, slot)
    if size and limit < size - 1:
        raise _triple_fault(f"the {name}'s limit {limit:#x} is below {size - 1:#x}")
    if size and not access & 0x80:
        raise _triple_fault(f"the {name}'s access byte {access:#04x} says it is not present")
    return int(high << 24 | middle << 16 | low)


def _flat_descriptor(base: int) -> bytes:
    return struct.pack("<HHBBH", 0xFFFF, base & 0xFFFF, base >> 16 & 0xFF, 0x93, 0)


def _copy_upwards(cpu: Cpu, source: int, destination: int, size: int) -> None:
    """As REP MOVSW does: ascending, so that a destination just above repeats the source."""
    distance = destination - source
    step = distance if 0 < distance < size else max(size, 1)
    for done in range(0, size, step):
        chunk = cpu.read(source + done, min(step, size - done))
        cpu.write(destination + done, chunk)


def _triple_fault(why: str) -> GuestStopped:
    return GuestStopped(StopReason.CRASHED, f"triple fault: int 15h AH=87h, and {why}")
