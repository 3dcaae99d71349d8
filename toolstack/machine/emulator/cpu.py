"""The vCPU as the BIOS and the interrupt logic see it: registers and physical memory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Register(Enum):
    """x86 registers by their names in the Intel manual."""

    EAX = "EAX"
    EBX = "EBX"
    ECX = "ECX"
    EDX = "EDX"
    ESI = "ESI"
    EDI = "EDI"
    EBP = "EBP"
    ESP = "ESP"
    EIP = "EIP"
    EFLAGS = "EFLAGS"
    AX = "AX"
    BX = "BX"
    CX = "CX"
    DX = "DX"
    SI = "SI"
    DI = "DI"
    BP = "BP"
    SP = "SP"
    AH = "AH"
    AL = "AL"
    BH = "BH"
    BL = "BL"
    CH = "CH"
    CL = "CL"
    DH = "DH"
    DL = "DL"
    CS = "CS"
    DS = "DS"
    ES = "ES"
    SS = "SS"
    FS = "FS"
    GS = "GS"
    CR0 = "CR0"
    CR2 = "CR2"
    CR3 = "CR3"
    CR4 = "CR4"
    # The same in the full width of long mode.
    RIP = "RIP"
    RSP = "RSP"
    RFLAGS = "RFLAGS"


CARRY = 1 << 0
ZERO = 1 << 6
TRAP = 1 << 8
INTERRUPT_ENABLE = 1 << 9
VIRTUAL_8086 = 1 << 17

CR0_PROTECTION = 1 << 0
CR0_PAGING = 1 << 31


class Cpu(Protocol):
    """One vCPU that is not running at the moment."""

    def get(self, register: Register) -> int:
        """The value of `register`, unsigned."""

    def set(self, register: Register, value: int) -> None:
        """Sets `register`; a segment register is loaded as the CPU's mode has it."""

    def read(self, at: int, size: int) -> bytes:
        """`size` bytes of physical memory; all ones where there is no RAM."""

    def write(self, at: int, data: bytes) -> None:
        """Writes physical memory as the guest would: lost where it is ROM or nothing."""

    def protect(self, start: int, size: int) -> None:
        """Makes a range of physical memory read-only, as the chipset does with ROM."""

    def is_protected(self, start: int, size: int) -> bool:
        """Whether any byte of the range is read-only."""


@dataclass(frozen=True, slots=True)
class TableRegister:
    """GDTR, IDTR or the visible part of TR."""

    base: int
    limit: int
    """offset of the last byte"""


@dataclass(frozen=True, slots=True)
class Raised:
    """An interrupt or exception that has not been delivered yet."""

    vector: int
    software: bool
    """an INT instruction raised it, not a fault"""
    error_code: int
    """what the fault pushes, if its vector has an error code"""


class InterruptibleCpu(Cpu, Protocol):
    """What it takes to deliver an interrupt to a vCPU."""

    def idtr(self) -> TableRegister: ...

    def task_register(self) -> TableRegister: ...

    def efer(self) -> int:
        """Model-specific register 0xc0000080."""

    def forget_exception(self) -> None:
        """Ends the exception in flight: another one is then not a double fault."""


def segment_base(selector: int) -> int:
    """Linear address of a real-mode segment."""
    return selector << 4
