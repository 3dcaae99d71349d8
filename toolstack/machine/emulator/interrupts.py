"""Delivery of interrupts and exceptions, as the CPU does it: through the IVT or the IDT.

Source: Intel SDM volume 3, chapters 6 (protected and long mode) and 20 (real mode).
"""

from __future__ import annotations

import struct

from toolstack.machine.emulator.cpu import (
    CR0_PROTECTION,
    INTERRUPT_ENABLE,
    TRAP,
    VIRTUAL_8086,
    InterruptibleCpu,
    Raised,
    Register,
    segment_base,
)
from toolstack.machine.emulator.paging import EFER_LONG_MODE_ACTIVE, translate
from toolstack.machine.emulator.stop import GuestStopped, StopReason

EXCEPTION_NAMES = {
    0: "divide error",
    1: "debug exception",
    3: "breakpoint",
    4: "overflow",
    5: "bound range exceeded",
    6: "invalid opcode",
    7: "no coprocessor",
    8: "double fault",
    10: "invalid TSS",
    11: "segment not present",
    12: "stack fault",
    13: "general protection fault",
    14: "page fault",
    16: "x87 error",
    17: "alignment check",
    19: "SIMD error",
}
INVALID_OPCODE = 6
_WITH_ERROR_CODE = frozenset({8, 10, 11, 12, 13, 14, 17})
_GATE_PRESENT = 0x80
_INTERRUPT_GATE, _TRAP_GATE = 0xE, 0xF
_IST_OFFSET = 0x24
_RPL = 3


def describe(raised: Raised) -> str:
    """`int 15h`, or the name of the exception."""
    if raised.software:
        return f"int {raised.vector:02x}h"
    return EXCEPTION_NAMES.get(raised.vector, f"exception {raised.vector:#x}")


def real_mode_handler(cpu: InterruptibleCpu, raised: Raised) -> tuple[int, int]:
    """Segment and offset in the interrupt vector table.

    Raises: GuestStopped when the table is too short, which a CPU answers with a reset.
    """
    table = cpu.idtr()
    if 4 * raised.vector + 3 > table.limit:
        raise _triple_fault(describe(raised), "the vector table is too short")
    offset, segment = struct.unpack("<HH", cpu.read(table.base + 4 * raised.vector, 4))
    return segment, offset


def deliver(cpu: InterruptibleCpu, raised: Raised) -> None:
    """Enters the guest's handler for what was raised.

    Raises: GuestStopped with what made a real CPU triple-fault here.
    """
    if cpu.efer() & EFER_LONG_MODE_ACTIVE:
        _long_mode(cpu, raised)
    elif cpu.get(Register.CR0) & CR0_PROTECTION:
        _protected_mode(cpu, raised)
    else:
        _real_mode(cpu, raised)


def _real_mode(cpu: InterruptibleCpu, raised: Raised) -> None:
    segment, offset = real_mode_handler(cpu, raised)
    flags, stack = cpu.get(Register.RFLAGS), cpu.get(Register.SP)
    stack_base = segment_base(cpu.get(Register.SS))
    for word in (flags, cpu.get(Register.CS), cpu.get(Register.RIP)):
        stack = (stack - 2) & 0xFFFF
        cpu.write(stack_base + stack, struct.pack("<H", word & 0xFFFF))
    cpu.set(Register.RSP, (cpu.get(Register.RSP) & ~0xFFFF) | stack)
    cpu.set(Register.RFLAGS, flags & ~(INTERRUPT_ENABLE | TRAP))
    cpu.set(Register.RIP, offset)
    cpu.forget_exception()
    cpu.set(Register.CS, segment)


def _protected_mode(cpu: InterruptibleCpu, raised: Raised) -> None:
    name = describe(raised)
    flags, cs = cpu.get(Register.RFLAGS), cpu.get(Register.CS)
    if flags & VIRTUAL_8086 or cs & _RPL:
        raise _unsupported(name, "from outside ring 0")
    low, selector, _, kind, high = struct.unpack("<HHBBH", _gate(cpu, raised.vector, 8, name))
    _check_gate(kind, selector, name)
    words = [flags, cs, cpu.get(Register.RIP)]
    if raised.vector in _WITH_ERROR_CODE and not raised.software:
        words.append(raised.error_code)
    stack = cpu.get(Register.RSP)
    for word in words:
        stack = (stack - 4) & 0xFFFFFFFF
        _push(cpu, stack, struct.pack("<I", word & 0xFFFFFFFF), name)
    _enter(cpu, kind, selector, high << 16 | low, stack)


def _long_mode(cpu: InterruptibleCpu, raised: Raised) -> None:
    name = describe(raised)
    flags, cs = cpu.get(Register.RFLAGS), cpu.get(Register.CS)
    if cs & _RPL:
        raise _unsupported(name, "from outside ring 0")
    gate = _gate(cpu, raised.vector, 16, name)
    low, selector, stack_index, kind, middle, high = struct.unpack("<HHBBHI4x", gate)
    _check_gate(kind, selector, name)
    old_stack = cpu.get(Register.RSP)
    stack = old_stack
    if stack_index & 7:
        slot = cpu.task_register().base + _IST_OFFSET + 8 * ((stack_index & 7) - 1)
        stack = int.from_bytes(_fetch(cpu, slot, 8, name), "little")
    stack &= ~0xF
    words = [cpu.get(Register.SS), old_stack, flags, cs, cpu.get(Register.RIP)]
    if raised.vector in _WITH_ERROR_CODE and not raised.software:
        words.append(raised.error_code)
    for word in words:
        stack = (stack - 8) & (1 << 64) - 1
        _push(cpu, stack, struct.pack("<Q", word), name)
    _enter(cpu, kind, selector, high << 32 | middle << 16 | low, stack)


def _enter(cpu: InterruptibleCpu, kind: int, selector: int, target: int, stack: int) -> None:
    cleared = TRAP | (INTERRUPT_ENABLE if kind & 0xF == _INTERRUPT_GATE else 0)
    same_segment = cpu.get(Register.CS) == selector
    cpu.set(Register.RSP, stack)
    cpu.set(Register.RFLAGS, cpu.get(Register.RFLAGS) & ~cleared)
    cpu.set(Register.RIP, target)
    cpu.forget_exception()
    if not same_segment:
        cpu.set(Register.CS, selector)


def _gate(cpu: InterruptibleCpu, vector: int, size: int, name: str) -> bytes:
    table = cpu.idtr()
    if size * (vector + 1) - 1 > table.limit:
        raise _triple_fault(name, f"the IDT ends at offset {table.limit:#x}")
    return _fetch(cpu, table.base + size * vector, size, name)


def _check_gate(kind: int, selector: int, name: str) -> None:
    if not kind & _GATE_PRESENT or kind & 0xF not in (_INTERRUPT_GATE, _TRAP_GATE):
        raise _triple_fault(name, f"its IDT entry has type {kind:#04x}")
    if selector & ~_RPL == 0:
        raise _triple_fault(name, "its IDT entry has a null selector")


def _fetch(cpu: InterruptibleCpu, linear: int, size: int, name: str) -> bytes:
    at = translate(cpu, linear)
    if at is None:
        raise _triple_fault(name, f"{linear:#x} is not mapped")
    return cpu.read(at, size)


def _push(cpu: InterruptibleCpu, linear: int, word: bytes, name: str) -> None:
    at = translate(cpu, linear)
    if at is None:
        raise _triple_fault(name, f"the stack at {linear:#x} is not mapped")
    cpu.write(at, word)


def _triple_fault(name: str, why: str) -> GuestStopped:
    return GuestStopped(StopReason.CRASHED, f"triple fault: {name}, and {why}")


def _unsupported(name: str, why: str) -> GuestStopped:
    return GuestStopped(StopReason.UNFIT, f"{name} {why}, which this machine does not emulate")
