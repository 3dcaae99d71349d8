"""One call of a BIOS service: the caller's registers, and the flags it will get back."""

from __future__ import annotations

import struct

from toolstack.machine.emulator.cpu import CARRY, ZERO, Cpu, Register, segment_base

_FLAGS_ON_STACK = 4
UNSUPPORTED = 0x86
"""AH of a function that int 15h does not have."""


class BiosCall:
    """The vCPU at a service's stub: IP, CS and FLAGS of the caller are on its stack."""

    def __init__(self, cpu: Cpu) -> None:
        self.cpu = cpu

    def get(self, register: Register) -> int:
        return self.cpu.get(register)

    def set(self, register: Register, value: int) -> None:
        self.cpu.set(register, value)

    def address(self, segment: Register, offset: Register) -> int:
        """Linear address of a real-mode pointer in two registers."""
        return segment_base(self.get(segment)) + self.get(offset)

    def set_carry(self, value: bool) -> None:
        self._set_flag(CARRY, value)

    def set_zero(self, value: bool) -> None:
        self._set_flag(ZERO, value)

    def succeed(self) -> None:
        """CF clear, AH 0."""
        self.set(Register.AH, 0)
        self.set_carry(False)

    def fail(self, status: int) -> None:
        """CF set, `status` in AH."""
        self.set(Register.AH, status)
        self.set_carry(True)

    def _set_flag(self, flag: int, value: bool) -> None:
        at = segment_base(self.get(Register.SS)) + (
            (self.get(Register.SP) + _FLAGS_ON_STACK) & 0xFFFF
        )
        (flags,) = struct.unpack("<H", self.cpu.read(at, 2))
        flags = flags | flag if value else flags & ~flag
        self.cpu.write(at, struct.pack("<H", flags))
