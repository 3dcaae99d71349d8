"""The firmware's own course: power-on self test, option ROMs, boot order.

It is one generator that pauses whenever guest code must run, and is resumed when that code
returns to it: by a far return to the return stub, or by int 18h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from handoff.e820 import E820Map
from toolstack.machine.emulator.bios import layout
from toolstack.machine.emulator.bios.call import BiosCall
from toolstack.machine.emulator.bios.option_rom import (
    INIT_OFFSET,
    BadRom,
    BootEntry,
    OptionRom,
    boot_entries,
    find_rom,
    next_place,
)
from toolstack.machine.emulator.bios.services import service_table
from toolstack.machine.emulator.bios.system import A20Gate, SystemServices
from toolstack.machine.emulator.bios.video import TextLog
from toolstack.machine.emulator.chipset import Clock
from toolstack.machine.emulator.cpu import INTERRUPT_ENABLE, Cpu, Register
from toolstack.machine.emulator.stop import GuestStopped, StopReason

_FLAGS = 0x0002 | INTERRUPT_ENABLE
_BOOT_FAILED, _BOOT = 0x18, 0x19


@dataclass(frozen=True, slots=True)
class FarCall:
    """Guest code to run, and the registers it is to find."""

    segment: int
    offset: int
    stack: int
    """SP at its first instruction, in segment 0"""
    registers: tuple[tuple[Register, int], ...] = ()
    """all not named here are 0"""


class Bios:
    """Answers the traps of the F segment."""

    def __init__(
        self,
        cpu: Cpu,
        e820: E820Map,
        gate: A20Gate,
        clock: Clock,
        log: Callable[[str], None],
    ) -> None:
        """log: takes one line for each line of BIOS text or message."""
        self._cpu = cpu
        self._log = log
        self._text = TextLog(log)
        self._services = service_table(SystemServices(e820, gate), self._text, clock)
        self._entries: tuple[BootEntry, ...] = ()
        self._course: Iterator[FarCall] = iter(())

    def install(self) -> None:
        """Puts the F segment into memory, as it is when power comes on."""
        self._cpu.write(layout.F_BASE, layout.bios_image())

    def flush(self) -> None:
        """Hands the unfinished line of text to the log."""
        self._text.flush()

    def trap(self, number: int) -> None:
        """Does what stub `number` stands for and sets where the vCPU goes on.

        Raises: GuestStopped if it cannot go on.
        """
        if number == layout.POST_TRAP:
            self._course = self._power_on()
        elif number == _BOOT:
            self._course = self._boot()
        elif number not in (layout.ROM_RETURN_TRAP, _BOOT_FAILED):
            self._serve(number)
            return
        self._enter(next(self._course))

    def _serve(self, vector: int) -> None:
        service = self._services.get(vector)
        if service is not None:
            service(BiosCall(self._cpu))
        # Past the NOP, so that the stub's IRET runs.
        self._cpu.set(Register.EIP, layout.stub_offset(vector) + 1)

    def _power_on(self) -> Iterator[FarCall]:
        self._cpu.write(0, layout.interrupt_vectors())
        self._cpu.write(layout.BDA, layout.bios_data_area())
        self._cpu.write(layout.EBDA_SEGMENT << 4, b"\x01".ljust(0x400, b"\0"))
        roms: list[OptionRom] = []
        address = layout.ROM_SCAN.start
        while address < layout.ROM_SCAN.stop:
            rom = self._rom_at(address)
            address += layout.ROM_SCAN.step
            if rom is None:
                continue
            self._log(f"option ROM at {rom.address:#x}, {rom.size:#x} bytes")
            yield _init_call(rom)
            # A ROM may shrink or remove itself while it initialises.
            rom = self._rom_at(rom.address)
            if rom is not None:
                roms.append(rom)
                address = next_place(rom.address + rom.size)
        self._entries = tuple(entry for rom in roms for entry in boot_entries(self._cpu, rom))
        for start, size in layout.READ_ONLY:
            self._cpu.protect(start, size)
        zeroed_start, zeroed_size = layout.ZEROED_BEFORE_BOOT
        self._cpu.write(zeroed_start, bytes(zeroed_size))
        yield from self._boot()

    def _boot(self) -> Iterator[FarCall]:
        for entry in self._entries:
            self._log(f"booting from ROM {entry.segment:04x}:{entry.bev:04x} {entry.product}")
            yield FarCall(entry.segment, entry.bev, layout.BEV_STACK, ((Register.EAX, 0xAA55),))
        tried = ", ".join(f"{entry.segment:04x}:{entry.bev:04x}" for entry in self._entries)
        what = f"{tried} came back" if tried else "no option ROM has a BEV"
        raise GuestStopped(StopReason.UNFIT, f"no bootable device: {what}")

    def _rom_at(self, address: int) -> OptionRom | None:
        try:
            return find_rom(self._cpu, address)
        except BadRom as problem:
            self._log(str(problem))
            return None

    def _enter(self, call: FarCall) -> None:
        cpu = self._cpu
        for register in (
            *(Register.EAX, Register.EBX, Register.ECX, Register.EDX),
            *(Register.ESI, Register.EDI, Register.EBP),
            *(Register.DS, Register.ES, Register.SS, Register.FS, Register.GS),
        ):
            cpu.set(register, 0)
        for register, value in call.registers:
            cpu.set(register, value)
        back = struct.pack("<HH", layout.stub_offset(layout.ROM_RETURN_TRAP), layout.F_SEGMENT)
        cpu.write(call.stack, back)
        cpu.set(Register.ESP, call.stack)
        cpu.set(Register.EFLAGS, _FLAGS)
        cpu.set(Register.CS, call.segment)
        cpu.set(Register.EIP, call.offset)


def _init_call(rom: OptionRom) -> FarCall:
    """Source: Plug and Play BIOS specification, section 3.3; the values are SeaBIOS's."""
    return FarCall(
        rom.segment,
        INIT_OFFSET,
        layout.INIT_STACK,
        (
            (Register.EBX, 0xFFFF),
            (Register.EDX, 0xFFFF),
            (Register.ES, layout.F_SEGMENT),
            (Register.EDI, layout.PNP_OFFSET),
        ),
    )
