"""Delivery of interrupts by mode; what a real CPU resets on ends the guest by name."""

import struct

import pytest

from tests.toolstack.machine.emulator.fake_cpu import FakeCpu, fault, software_interrupt
from toolstack.machine.emulator.cpu import (
    CR0_PROTECTION,
    INTERRUPT_ENABLE,
    TRAP,
    Raised,
    Register,
    TableRegister,
)
from toolstack.machine.emulator.interrupts import deliver, describe, real_mode_handler
from toolstack.machine.emulator.paging import EFER_LONG_MODE_ACTIVE
from toolstack.machine.emulator.stop import GuestStopped, StopReason

IDT = 0x5000
FLAGS = 0x0002 | INTERRUPT_ENABLE | TRAP


def cpu_at(cs: int, ip: int, sp: int) -> FakeCpu:
    cpu = FakeCpu()
    cpu.set(Register.CS, cs)
    cpu.set(Register.RIP, ip)
    cpu.set(Register.RSP, sp)
    cpu.set(Register.RFLAGS, FLAGS)
    return cpu


def protected_cpu(gate: bytes, vector: int, *, long_mode: bool = False) -> FakeCpu:
    cpu = cpu_at(0x10, 0x112233, 0x9008)
    cpu.set(Register.SS, 0x18)
    cpu.set(Register.CR0, CR0_PROTECTION)
    cpu.efer_value = EFER_LONG_MODE_ACTIVE if long_mode else 0
    size = 16 if long_mode else 8
    cpu.interrupt_table = TableRegister(IDT, size * (vector + 1) - 1)
    cpu.write(IDT + size * vector, gate)
    return cpu


def gate_32(offset: int, selector: int = 0x10, kind: int = 0x8E) -> bytes:
    return struct.pack("<HHBBH", offset & 0xFFFF, selector, 0, kind, offset >> 16)


def gate_64(offset: int, stack: int = 0, kind: int = 0x8E) -> bytes:
    low, middle, high = offset & 0xFFFF, offset >> 16 & 0xFFFF, offset >> 32
    return struct.pack("<HHBBHI4x", low, 0x10, stack, kind, middle, high)


def test_real_mode_pushes_flags_cs_and_ip_and_enters_through_the_vector_table() -> None:
    cpu = cpu_at(0x1020, 0x0034, 0xFFF0)
    cpu.set(Register.SS, 0x1000)
    cpu.write(4 * 0x21, struct.pack("<HH", 0x5678, 0x0700))
    deliver(cpu, software_interrupt(0x21))
    assert (cpu.get(Register.CS), cpu.get(Register.EIP)) == (0x0700, 0x5678)
    assert cpu.get(Register.SP) == 0xFFEA
    assert struct.unpack("<3H", cpu.read(0x1FFEA, 6)) == (0x0034, 0x1020, FLAGS)
    assert cpu.get(Register.EFLAGS) == 0x0002


def test_a_real_mode_stack_wraps_inside_its_segment() -> None:
    cpu = cpu_at(0x1020, 0x0034, 0x0002)
    deliver(cpu, software_interrupt(0x21))
    assert cpu.get(Register.SP) == 0xFFFC
    assert cpu.read(0, 2) == struct.pack("<H", FLAGS)


def test_a_guest_may_move_its_vector_table() -> None:
    cpu = FakeCpu()
    cpu.interrupt_table = TableRegister(0x8000, 7)
    cpu.write(0x8004, struct.pack("<HH", 0x1111, 0x2222))
    assert real_mode_handler(cpu, fault(1)) == (0x2222, 0x1111)
    with pytest.raises(GuestStopped, match="triple fault"):
        real_mode_handler(cpu, fault(2))


def test_protected_mode_pushes_an_error_code_for_a_fault_that_has_one() -> None:
    cpu = protected_cpu(gate_32(0x00ABCDEF), 13)
    deliver(cpu, fault(13, 0x18))
    assert cpu.get(Register.EIP) == 0x00ABCDEF
    assert cpu.get(Register.ESP) == 0x9008 - 16
    assert struct.unpack("<4I", cpu.read(0x8FF8, 16)) == (0x18, 0x112233, 0x10, FLAGS)
    assert cpu.get(Register.EFLAGS) == 0x0002
    assert cpu.delivered == 1


@pytest.mark.parametrize("raised", [software_interrupt(13), fault(6)])
def test_protected_mode_pushes_no_error_code_otherwise(raised: Raised) -> None:
    cpu = protected_cpu(gate_32(0x1000), raised.vector)
    deliver(cpu, raised)
    assert struct.unpack("<3I", cpu.read(0x8FFC, 12)) == (0x112233, 0x10, FLAGS)


def test_a_trap_gate_leaves_interrupts_enabled() -> None:
    cpu = protected_cpu(gate_32(0x1000, kind=0x8F), 3)
    deliver(cpu, software_interrupt(3))
    assert cpu.get(Register.EFLAGS) == 0x0002 | INTERRUPT_ENABLE


def test_a_gate_may_name_another_code_segment() -> None:
    cpu = protected_cpu(gate_32(0x1000, selector=0x20), 3)
    deliver(cpu, software_interrupt(3))
    assert cpu.get(Register.CS) == 0x20


def test_long_mode_aligns_the_stack_and_pushes_five_words_and_the_error_code() -> None:
    cpu = protected_cpu(gate_64(0xFFFFFFFF81000000), 14, long_mode=True)
    deliver(cpu, fault(14, 2))
    frame = struct.unpack("<6Q", cpu.read(0x9000 - 48, 48))
    assert frame == (2, 0x112233, 0x10, FLAGS, 0x9008, 0x18)
    assert cpu.get(Register.RSP) == 0x9000 - 48
    assert cpu.get(Register.RIP) == 0xFFFFFFFF81000000


def test_long_mode_takes_the_stack_a_gate_asks_for() -> None:
    cpu = protected_cpu(gate_64(0x2000, stack=2), 8, long_mode=True)
    cpu.task = TableRegister(0x6000, 0x67)
    cpu.write(0x6000 + 0x24 + 8, struct.pack("<Q", 0x7000))
    deliver(cpu, fault(8))
    assert cpu.get(Register.RSP) == 0x7000 - 48


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (gate_32(0x1000, kind=0x0E), "type 0x0e"),
        (gate_32(0x1000, kind=0x85), "type 0x85"),
        (gate_32(0x1000, selector=3), "null selector"),
    ],
)
def test_a_gate_a_cpu_would_not_take_is_a_triple_fault(gate: bytes, reason: str) -> None:
    with pytest.raises(GuestStopped, match=reason) as stopped:
        deliver(protected_cpu(gate, 13), fault(13))
    assert stopped.value.reason is StopReason.CRASHED


def test_no_idt_is_a_triple_fault_that_names_the_first_exception() -> None:
    cpu = protected_cpu(b"", 0)
    with pytest.raises(GuestStopped, match="triple fault: page fault, and the IDT ends at") as stop:
        deliver(cpu, fault(14))
    assert stop.value.reason is StopReason.CRASHED


def test_an_interrupt_outside_ring_0_is_beyond_this_machine() -> None:
    cpu = protected_cpu(gate_32(0x1000), 13)
    cpu.set(Register.CS, 0x1B)
    with pytest.raises(GuestStopped) as stopped:
        deliver(cpu, fault(13))
    assert stopped.value.reason is StopReason.UNFIT


@pytest.mark.parametrize(
    ("raised", "name"),
    [
        (software_interrupt(0x15), "int 15h"),
        (fault(13), "general protection fault"),
        (fault(0x1E), "exception 0x1e"),
    ],
)
def test_interrupts_have_names(raised: Raised, name: str) -> None:
    assert describe(raised) == name
