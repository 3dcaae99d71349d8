"""The Unicorn engine as one vCPU over guest RAM: runs until something needs the BIOS or us.

Facts about Unicorn 2.1 that this file rests on, each with a test:
- it goes from real mode to 32-bit and long mode as the guest asks (set_access_mode);
- exits by address must be off, because looking them up raises page faults in the guest;
- a refused write to read-only memory that the hook calls handled is dropped, like a write
  to ROM;
- HLT makes `emu_start` return with no event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from unicorn import (
    UC_HOOK_CODE,
    UC_HOOK_INSN,
    UC_HOOK_INSN_INVALID,
    UC_HOOK_INTR,
    UC_HOOK_MEM_INVALID,
    UC_HOOK_MEM_WRITE_PROT,
    UC_MODE_16,
    UC_MODE_64,
    UC_PROT_EXEC,
    UC_PROT_READ,
    x86_const,
)

from handoff.addresses import GpaRange
from handoff.guest_ram import RamRegion
from toolstack.machine.emulator.cpu import (
    CR0_PAGING,
    CR0_PROTECTION,
    Raised,
    Register,
    TableRegister,
)
from toolstack.machine.emulator.fault_state import forget_exception, probe_layout, raised
from toolstack.machine.emulator.interrupts import INVALID_OPCODE
from toolstack.machine.emulator.open_engine import UcError, open_engine, set_access_mode
from toolstack.machine.emulator.physical_memory import PhysicalMemory
from toolstack.machine.emulator.ports import PortBus, StringPortDevice
from toolstack.machine.emulator.segment_state import probe_segments, segments
from toolstack.machine.emulator.stop import GuestStopped, Registers, StopReason
from toolstack.machine.emulator.string_input import INSTRUCTION_MAX_BYTES, string_input

_UNICORN_NAME = {
    register: getattr(x86_const, f"UC_X86_REG_{register.value}") for register in Register
}
_SEGMENTS = frozenset(
    (Register.CS, Register.DS, Register.ES, Register.SS, Register.FS, Register.GS)
)
_MSR_EFER = 0xC0000080
_IVT_LIMIT = 0x3FF
_HLT = b"\xf4"


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An INT instruction or an exception."""

    raised: Raised


@dataclass(frozen=True, slots=True)
class Trapped:
    """About to execute the instruction at this linear address, which is watched."""

    linear: int


@dataclass(frozen=True, slots=True)
class Halted:
    """Executed HLT."""


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """Executed as many instructions as it was given."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A device ended the guest, or there is nothing at the address it went to."""

    cause: GuestStopped


Event: TypeAlias = Interrupted | Trapped | Halted | BudgetSpent | Ended


class Engine:
    """Implements InterruptedCpu; guest RAM is mapped, not copied."""

    def __init__(
        self,
        ram_fd: int,
        regions: Sequence[RamRegion],
        ports: PortBus,
        traps: range,
        touched: Callable[[int], None],
        bios: GpaRange | None = None,
    ) -> None:
        """Maps `regions` of `ram_fd`, which the caller keeps.

        traps: linear addresses to stop at, its step the distance between them; may be empty.
        touched: called with each physical address read or written where no RAM is.
        bios: where in guest RAM a BIOS lies that is to be a ROM below 4 GiB.
        Raises: OSError, UnknownEngine.
        """
        self._ports = ports
        self._traps = traps
        self._touched = touched
        self._event: Event | None = None
        self._stopped_before: int | None = None
        self._pass_over: int | None = None
        self._breakpoints: dict[int, object] = {}
        self._protected: list[GpaRange] = []
        self._uc = open_engine()
        self._layout = probe_layout(self._uc)
        self._segment_layout = probe_segments(self._uc)
        self._memory = PhysicalMemory(self._uc, ram_fd, regions, bios, touched)
        self._add_hooks()
        # A reset leaves the vector table at 0; Unicorn leaves it without a limit.
        self._uc.reg_write(x86_const.UC_X86_REG_IDTR, (0, 0, _IVT_LIMIT, 0))

    def _add_hooks(self) -> None:
        uc = self._uc
        uc.hook_add(UC_HOOK_INTR, self._on_interrupt)
        uc.hook_add(UC_HOOK_INSN_INVALID, self._on_invalid_instruction)
        uc.hook_add(UC_HOOK_MEM_WRITE_PROT, lambda *_: True)
        uc.hook_add(UC_HOOK_MEM_INVALID & ~UC_HOOK_MEM_WRITE_PROT, self._on_nothing_there)
        uc.hook_add(UC_HOOK_INSN, self._on_in, None, 1, 0, x86_const.UC_X86_INS_IN)
        uc.hook_add(UC_HOOK_INSN, self._on_out, None, 1, 0, x86_const.UC_X86_INS_OUT)
        if self._traps:
            uc.hook_add(UC_HOOK_CODE, self._on_trap, None, self._traps.start, self._traps.stop - 1)

    def close(self) -> None:
        """Unmaps guest RAM; the engine is of no use afterwards."""
        del self._uc
        self._memory.close()

    # The Cpu port.

    def get(self, register: Register) -> int:
        set_access_mode(self._uc, UC_MODE_64)
        return int(self._uc.reg_read(_UNICORN_NAME[register]))

    def set(self, register: Register, value: int) -> None:
        # Only in 16-bit accesses does Unicorn load a segment and not just its selector.
        set_access_mode(self._uc, UC_MODE_16 if register in _SEGMENTS else UC_MODE_64)
        self._uc.reg_write(_UNICORN_NAME[register], value)

    def read(self, at: int, size: int) -> bytes:
        try:
            return bytes(self._uc.mem_read(at, size))
        except UcError:
            return b"\xff" * size

    def write(self, at: int, data: bytes) -> None:
        if not data:
            return
        writable = GpaRange.between(at, at + len(data)).minus(self._protected)
        for part in writable:
            try:
                self._uc.mem_write(part.start, data[part.start - at : part.end - at])
            except UcError:
                self._touched(part.start)

    def protect(self, start: int, size: int) -> None:
        self._uc.mem_protect(start, size, UC_PROT_READ | UC_PROT_EXEC)
        self._protected.append(GpaRange.between(start, start + size))

    def is_protected(self, start: int, size: int) -> bool:
        wanted = GpaRange.between(start, start + size)
        return any(wanted.overlaps(protected) for protected in self._protected)

    def forget_exception(self) -> None:
        forget_exception(self._uc, self._layout)

    def idtr(self) -> TableRegister:
        return self._table(x86_const.UC_X86_REG_IDTR)

    def task_register(self) -> TableRegister:
        return self._table(x86_const.UC_X86_REG_TR)

    def _table(self, register: int) -> TableRegister:
        _, base, limit, _ = self._uc.reg_read(register)
        return TableRegister(base, limit)

    def efer(self) -> int:
        return int(self._uc.msr_read(_MSR_EFER))

    def registers(self) -> Registers:
        """All that a Registers holds."""
        values = {name: self.get(Register[name.upper()]) for name in Registers.__slots__}
        return Registers(**values)

    def linear_pc(self) -> int:
        """CS*16 + IP in real mode, else RIP."""
        rip = self.get(Register.RIP)
        if self.get(Register.CR0) & CR0_PROTECTION:
            return rip
        return (self.get(Register.CS) << 4) + (rip & 0xFFFF)

    # Running.

    def add_breakpoint(self, linear: int) -> None:
        """Stops with Trapped before the instruction at `linear` runs."""
        if linear not in self._breakpoints:
            self._breakpoints[linear] = self._uc.hook_add(
                UC_HOOK_CODE, self._on_breakpoint, None, linear, linear
            )
            self._uc.ctl_flush_tb()

    def remove_breakpoint(self, linear: int) -> None:
        self._uc.hook_del(self._breakpoints.pop(linear))

    def run(self, max_instructions: int | None) -> Event:
        """Runs from CS:EIP until the next event.

        max_instructions: counting them makes the engine about ten times slower.
        """
        self._event = None
        begin = self.linear_pc()
        # A breakpoint that we stopped at and start from must not stop us again.
        self._pass_over = begin if begin == self._stopped_before else None
        self._stopped_before = None
        protected = self.get(Register.CR0) & CR0_PROTECTION
        set_access_mode(self._uc, UC_MODE_64 if protected else UC_MODE_16)
        try:
            self._uc.emu_start(begin, 0, count=max_instructions or 0)
        except UcError as error:
            if self._event is None:
                where = self.registers().line()
                return Ended(GuestStopped(StopReason.CRASHED, f"{error}: {where}"))
        if self._event is not None:
            return self._event
        if max_instructions is not None and not self._is_behind_hlt():
            return BudgetSpent()
        return Halted()

    def _is_behind_hlt(self) -> bool:
        return self.read(self.linear_pc() - 1, 1) == _HLT

    def _stop_for(self, event: Event) -> None:
        if self._event is None:
            self._event = event
        self._uc.emu_stop()

    def _on_interrupt(self, _uc: object, vector: int, _data: object) -> None:
        self._stop_for(Interrupted(raised(self._uc, self._layout, vector)))

    def _on_invalid_instruction(self, _uc: object, _data: object) -> bool:
        self._stop_for(Interrupted(Raised(INVALID_OPCODE, False, 0)))
        return False

    def _on_nothing_there(
        self, _uc: object, _access: int, address: int, _size: int, _value: int, _data: object
    ) -> bool:
        detail = f"nothing at physical address {address:#x}: {self.registers().line()}"
        self._stop_for(Ended(GuestStopped(StopReason.CRASHED, detail)))
        return False

    def _on_trap(self, _uc: object, linear: int, _size: int, _data: object) -> None:
        if linear in self._traps:
            self._stop_for(Trapped(linear))

    def _on_breakpoint(self, _uc: object, linear: int, _size: int, _data: object) -> None:
        passed_over, self._pass_over = self._pass_over, None
        if passed_over != linear:
            self._stopped_before = linear
            self._stop_for(Trapped(linear))

    def _on_in(self, _uc: object, port: int, size: int, _data: object) -> int:
        try:
            device = self._ports.string_device(port)
            if device is not None:
                value = self._string_in(device, port, size)
                if value is not None:
                    return value
            return self._ports.read(port, size)
        except GuestStopped as stopped:
            self._stop_for(Ended(stopped))
            return int((1 << 8 * size) - 1)

    def _string_in(self, device: StringPortDevice, port: int, size: int) -> int | None:
        """Does at once what a REP INS has left to do, or as much of it as a request may have.

        The engine is left with one repetition, whose value is the first one: it stores that
        where it would have. None where this is no REP INS, or not into plain RAM.
        """
        now = segments(self._uc, self._segment_layout)
        ecx, edi, flags = (self.get(r) for r in (Register.ECX, Register.EDI, Register.EFLAGS))
        code = self.read(now.cs_base + self.get(Register.EIP), INSTRUCTION_MAX_BYTES)
        to = string_input(code, size, ecx, edi, flags, now)
        if to is None or self.get(Register.CR0) & CR0_PAGING or not self._is_plain_ram(to):
            return None
        device.read_string(port, size, to)
        self.set(Register.ECX, ecx - to.size // size + 1)
        self.set(Register.EDI, edi + to.size - size)
        return int.from_bytes(self.read(to.start, size), "little")

    def _is_plain_ram(self, where: GpaRange) -> bool:
        inside = any(ram.contains(where) for ram in self._memory.ram)
        return inside and not self.is_protected(where.start, where.size)

    def _on_out(self, _uc: object, port: int, size: int, value: int, _data: object) -> None:
        try:
            self._ports.write(port, size, value)
        except GuestStopped as stopped:
            self._stop_for(Ended(stopped))
