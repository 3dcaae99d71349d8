"""Why the vCPU stopped, and the registers it stopped with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class StopReason(Enum):
    BREAKPOINT = "reached the address asked for"
    BUDGET = "used up the instructions it was given"
    POWERED_OFF = "powered off"
    HALTED = "halted with interrupts off"
    RESET = "reset"
    CRASHED = "crashed"
    UNFIT = "needs a device this machine does not have"
    ABANDONED = "got no answer from its device model"


class GuestStopped(Exception):
    """The guest cannot or does not want to go on; raised by devices and BIOS services."""

    def __init__(self, reason: StopReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Registers:
    """The low 32 bits of the registers that describe a boot entry."""

    eax: int
    ebx: int
    ecx: int
    edx: int
    esi: int
    edi: int
    ebp: int
    esp: int
    eip: int
    eflags: int
    cs: int
    ds: int
    es: int
    ss: int
    fs: int
    gs: int
    cr0: int
    cr2: int
    cr3: int
    cr4: int

    def line(self) -> str:
        """One line for a person, numbers in hex."""
        return (
            f"cs:eip={self.cs:04x}:{self.eip:08x} ss:esp={self.ss:04x}:{self.esp:08x} "
            f"eax={self.eax:08x} ebx={self.ebx:08x} ecx={self.ecx:08x} edx={self.edx:08x} "
            f"esi={self.esi:08x} edi={self.edi:08x} ebp={self.ebp:08x} "
            f"eflags={self.eflags:08x} cr0={self.cr0:08x} cr2={self.cr2:08x} "
            f"cr3={self.cr3:08x} cr4={self.cr4:08x}"
        )


@dataclass(frozen=True, slots=True)
class Stop:
    reason: StopReason
    detail: str
    """one line: what the guest did or wanted"""
    registers: Registers
