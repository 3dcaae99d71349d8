"""The whole PC in this process: engine, devices and BIOS put together, and the loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from handoff.addresses import Gpa
from handoff.e820 import E820Map
from handoff.firmware import BiosRom, DirectEntry, Firmware
from handoff.guest_ram import RamRegion
from toolstack.machine.emulator.bios import layout
from toolstack.machine.emulator.bios.bios import Bios
from toolstack.machine.emulator.bios.video import TextLog
from toolstack.machine.emulator.chipset import Clock, claim_chipset
from toolstack.machine.emulator.cpu import CR0_PROTECTION, INTERRUPT_ENABLE, Raised, Register
from toolstack.machine.emulator.debug_port import QEMU_DEBUG, XEN_DEBUG, DebugPort
from toolstack.machine.emulator.direct_entry import F_BASE, entry_code
from toolstack.machine.emulator.engine import (
    BudgetSpent,
    Ended,
    Engine,
    Event,
    Halted,
    Interrupted,
    Trapped,
)
from toolstack.machine.emulator.interrupts import (
    deliver,
    describe,
    real_mode_handler,
)
from toolstack.machine.emulator.ports import PortBus
from toolstack.machine.emulator.serial import COM1, Serial16550
from toolstack.machine.emulator.stop import GuestStopped, Stop, StopReason

RESET_SEGMENT, RESET_OFFSET = 0xF000, layout.RESET_OFFSET


class Emulator:
    """One guest at the reset vector; `run` it, as often as wanted. A context manager."""

    def __init__(
        self,
        ram_fd: int,
        regions: Sequence[RamRegion],
        e820: E820Map,
        *,
        console: Callable[[bytes], None],
        log: Callable[[str], None],
        clock: Clock = time.time,
        firmware: Firmware | None = None,
    ) -> None:
        """Maps guest RAM and puts the BIOS into it, unless there is firmware in it.

        ram_fd: memory file, kept by the caller and not closed here.
        console: takes what the guest sends to its first serial port, a byte at a time.
        log: takes lines of BIOS text.
        firmware: handed over, in place of the BIOS in Python.
        Raises: OSError, UnknownEngine.
        """
        self.ports = PortBus()
        self._last_touched: int | None = None
        self._chipset = claim_chipset(self.ports, clock, e820.low_ram_end())
        self.ports.claim(COM1, Serial16550(console))
        self._traps = layout.TRAP_ADDRESSES if firmware is None else range(0)
        bios = firmware.range if isinstance(firmware, BiosRom) else None
        self._engine = Engine(ram_fd, regions, self.ports, self._traps, self._touch, bios)
        self._bios = Bios(self._engine, e820, self._chipset.control, clock, log)
        self._text = TextLog(log)
        if firmware is None:
            self._bios.install()
        else:
            self._start(firmware)
        self._engine.set(Register.CS, RESET_SEGMENT)
        self._engine.set(Register.EIP, RESET_OFFSET)

    def _start(self, firmware: Firmware) -> None:
        for ports in (XEN_DEBUG, QEMU_DEBUG):
            self.ports.claim(ports, DebugPort(self._text))
        if isinstance(firmware, DirectEntry):
            self._engine.write(F_BASE, entry_code(firmware))

    def __enter__(self) -> Emulator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._engine.close()

    @property
    def timer_is_set(self) -> bool:
        """The guest counts on interrupts of the timer, which never come."""
        return self._chipset.timer.is_set

    def run(self, until: Gpa | None = None, max_instructions: int | None = None) -> Stop:
        """Runs until the guest ends, or reaches `until`, or its budget is spent.

        until: linear address of the instruction to stop before.
        max_instructions: between two events of the machine; makes it about ten times slower.
        """
        if until is None:
            return self._run(max_instructions)
        self._engine.add_breakpoint(until)
        try:
            return self._run(max_instructions)
        finally:
            self._engine.remove_breakpoint(until)

    def _run(self, max_instructions: int | None) -> Stop:
        while True:
            event = self._engine.run(max_instructions)
            try:
                stop = self._handle(event)
            except GuestStopped as stopped:
                stop = self._stop(stopped.reason, stopped.detail)
            if stop is not None:
                self._bios.flush()
                self._text.flush()
                return stop

    def _handle(self, event: Event) -> Stop | None:
        match event:
            case Interrupted(raised) if raised.software:
                deliver(self._engine, raised)
            case Interrupted(raised):
                self._fault(raised)
            case Trapped(linear) if linear in self._traps:
                self._bios.trap(layout.TRAP_ADDRESSES.index(linear))
            case Trapped(linear):
                return self._stop(StopReason.BREAKPOINT, f"reached {linear:#x}")
            case BudgetSpent():
                return self._stop(StopReason.BUDGET, "used up its instructions")
            case Halted():
                return self._halted()
            case Ended(cause):
                raise cause
        return None

    def _fault(self, raised: Raised) -> None:
        engine = self._engine
        if not engine.get(Register.CR0) & CR0_PROTECTION:
            handler = real_mode_handler(engine, raised)
            if self._traps and handler == (layout.F_SEGMENT, layout.stub_offset(raised.vector)):
                # A BIOS's IRET would come back to the same instruction for ever.
                detail = f"unhandled {describe(raised)}: {engine.registers().line()}"
                raise GuestStopped(StopReason.CRASHED, detail)
        try:
            deliver(engine, raised)
        except GuestStopped as stopped:
            detail = f"{stopped.detail}: {engine.registers().line()}"
            raise GuestStopped(stopped.reason, detail) from stopped

    def _halted(self) -> Stop:
        registers = self._engine.registers()
        where = f"at {registers.cs:04x}:{registers.eip:08x}"
        if not registers.eflags & INTERRUPT_ENABLE:
            return self._stop(StopReason.HALTED, f"HLT with interrupts off {where}")
        touched = self._last_touched
        hint = "" if touched is None else f", last touched device memory at {touched:#x}"
        detail = f"waits for an interrupt {where}, and this machine has no timer or disk{hint}"
        return self._stop(StopReason.UNFIT, detail)

    def _stop(self, reason: StopReason, detail: str) -> Stop:
        return Stop(reason, detail, self._engine.registers())

    def _touch(self, address: int) -> None:
        self._last_touched = address
