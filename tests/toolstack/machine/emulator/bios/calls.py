"""A service called as the guest's INT would: with IP, CS and FLAGS on the stack."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.toolstack.machine.emulator.fake_cpu import FakeCpu
from toolstack.machine.emulator.bios.call import BiosCall
from toolstack.machine.emulator.cpu import CARRY, ZERO, Register

STACK = 0x6000


class Caller:
    """Registers in, registers and flags out."""

    def __init__(self, flags: int = 0x0002) -> None:
        self.cpu = FakeCpu()
        self.cpu.set(Register.SP, STACK)
        self.cpu.write(STACK, struct.pack("<HHH", 0x1234, 0x5678, flags))

    def call(self, service: Callable[[BiosCall], None], **registers: int) -> None:
        for name, value in registers.items():
            self.cpu.set(Register[name.upper()], value)
        service(BiosCall(self.cpu))

    def get(self, name: str) -> int:
        return self.cpu.get(Register[name.upper()])

    def flags(self) -> int:
        return int.from_bytes(self.cpu.read(STACK + 4, 2), "little")

    @property
    def carry(self) -> bool:
        return bool(self.flags() & CARRY)

    @property
    def zero(self) -> bool:
        return bool(self.flags() & ZERO)
