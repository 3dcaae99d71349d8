"""The rest of a PC that boot code touches: A20, reset, power-off, clock chips, POST ports.

Interrupt controller and timer accept what they are told and never interrupt: a guest that
waits for them has a named end (see Emulator).

Sources: IBM PC/AT technical reference (8042, 8254, 8259, MC146818); ACPI specification, PM1a
control block; Intel PIIX reset control register.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from toolstack.machine.emulator.ports import PortBus
from toolstack.machine.emulator.stop import GuestStopped, StopReason

PM1A_CONTROL = 0x604
_SLEEP_ENABLE = 1 << 13
_SYSTEM_RESET = 1 << 2
_FAST_RESET = 1 << 0
_SELF_TESTS = MappingProxyType({0xAA: 0x55, 0xAB: 0x00, 0xA9: 0x00, 0xC0: 0x80})
"""8042 command to its answer"""
_CLOCK_STATUS = MappingProxyType({0x0A: 0x26, 0x0B: 0x02, 0x0C: 0x00, 0x0D: 0x80})
"""status registers: no update in progress, 24 hours BCD, no interrupt, battery good"""

Clock = Callable[[], float]
"""Seconds since 1970, UTC."""


class SystemControl:
    """Port 0x92: the fast A20 gate and reset. RAM never wraps, whatever the gate says."""

    def __init__(self) -> None:
        self.a20 = True

    def read(self, port: int, size: int) -> int:
        return 0x02 if self.a20 else 0x00

    def write(self, port: int, size: int, value: int) -> None:
        if value & _FAST_RESET:
            raise GuestStopped(StopReason.RESET, "reset through port 0x92")
        self.a20 = bool(value & 0x02)


class KeyboardController:
    """The 8042 at 0x60 and 0x64 with no keyboard: A20, reset, and polite answers."""

    def __init__(self, control: SystemControl) -> None:
        self._control = control
        self._answer: int | None = None
        self._expected: int | None = None
        self._command_byte = 0x61

    def read(self, port: int, size: int) -> int:
        if port == 0x64:
            # System flag and keyboard not locked; input buffer always empty.
            return 0x14 | (0 if self._answer is None else 0x01)
        answer, self._answer = self._answer, None
        return answer or 0

    def write(self, port: int, size: int, value: int) -> None:
        if port == 0x64:
            self._command(value & 0xFF)
        else:
            self._data(value & 0xFF)

    def _command(self, command: int) -> None:
        self._expected = command if command in (0x60, 0xD1, 0xD2, 0xD3, 0xD4) else None
        if command >= 0xF0 and not command & 0x01:
            raise GuestStopped(StopReason.RESET, f"reset by keyboard controller {command:#x}")
        if command == 0x20:
            self._answer = self._command_byte
        elif command == 0xD0:
            self._answer = 0x01 | (0x02 if self._control.a20 else 0)
        elif command in (0xDD, 0xDF):
            self._control.a20 = command == 0xDF
        elif command in _SELF_TESTS:
            self._answer = _SELF_TESTS[command]

    def _data(self, value: int) -> None:
        command, self._expected = self._expected, None
        if command == 0xD1:
            if not value & 0x01:
                raise GuestStopped(StopReason.RESET, "reset by keyboard controller output port")
            self._control.a20 = bool(value & 0x02)
        elif command == 0x60:
            self._command_byte = value


class RealTimeClock:
    """The MC146818 at 0x70: time of day in BCD and the memory sizes a BIOS leaves there."""

    def __init__(self, clock: Clock, low_ram_end: int) -> None:
        self._clock = clock
        self._index = 0
        extended_kib = min((low_ram_end - 0x100000) >> 10, 0xFFFF)
        above_16_mib = min(max(low_ram_end - 0x1000000, 0) >> 16, 0xFFFF)
        self._memory = {
            0x15: 640 & 0xFF,
            0x16: 640 >> 8,
            0x17: extended_kib & 0xFF,
            0x18: extended_kib >> 8,
            0x30: extended_kib & 0xFF,
            0x31: extended_kib >> 8,
            0x34: above_16_mib & 0xFF,
            0x35: above_16_mib >> 8,
        }

    def read(self, port: int, size: int) -> int:
        if port == 0x70:
            return 0xFF
        if self._index in _CLOCK_STATUS:
            return _CLOCK_STATUS[self._index]
        now = self._now()
        if self._index in now:
            return bcd(now[self._index])
        return self._memory.get(self._index, 0)

    def write(self, port: int, size: int, value: int) -> None:
        if port == 0x70:
            self._index = value & 0x7F

    def _now(self) -> dict[int, int]:
        now = time.gmtime(self._clock())
        weekday = (now.tm_wday + 1) % 7 + 1
        return {
            0x00: now.tm_sec,
            0x02: now.tm_min,
            0x04: now.tm_hour,
            0x06: weekday,
            0x07: now.tm_mday,
            0x08: now.tm_mon,
            0x09: now.tm_year % 100,
            0x32: now.tm_year // 100,
        }


class IntervalTimer:
    """The 8254 at 0x40 and its speaker port 0x61: counts down a step at every look."""

    _STEP = 16

    def __init__(self) -> None:
        self.is_set = False
        """somebody told channel 0 to count, and so to interrupt"""
        self._count = 0
        self._high_byte = False
        self._speaker = 0

    def read(self, port: int, size: int) -> int:
        if port == 0x61:
            # Refresh (bit 4) and the output of channel 2 (bit 5) change at every look, so
            # that delay loops end.
            self._speaker ^= 0x30
            return self._speaker
        self._high_byte = not self._high_byte
        if self._high_byte:
            self._count = (self._count - self._STEP) & 0xFFFF
            return self._count & 0xFF
        return self._count >> 8

    def write(self, port: int, size: int, value: int) -> None:
        if port == 0x61:
            self._speaker = (self._speaker & 0x30) | (value & 0x0F)
        elif port == 0x43:
            self._high_byte = False
        elif port == 0x40:
            self.is_set = True


class Latches:
    """Registers that keep what was written: interrupt masks, DMA pages, POST codes."""

    def __init__(self) -> None:
        self._values: dict[int, int] = {}

    def read(self, port: int, size: int) -> int:
        return self._values.get(port, 0)

    def write(self, port: int, size: int, value: int) -> None:
        self._values[port] = value & 0xFF


class PowerManagement:
    """ACPI PM1a control at 0x604, as QEMU's i440FX machine has it."""

    def read(self, port: int, size: int) -> int:
        return 0

    def write(self, port: int, size: int, value: int) -> None:
        if value & _SLEEP_ENABLE:
            raise GuestStopped(StopReason.POWERED_OFF, "ACPI sleep request at port 0x604")


class ResetControl:
    """Port 0xcf9."""

    def read(self, port: int, size: int) -> int:
        return 0

    def write(self, port: int, size: int, value: int) -> None:
        if value & _SYSTEM_RESET:
            raise GuestStopped(StopReason.RESET, "reset through port 0xcf9")


@dataclass(frozen=True, slots=True)
class Chipset:
    """What others ask of it."""

    control: SystemControl
    timer: IntervalTimer


def claim_chipset(bus: PortBus, clock: Clock, low_ram_end: int) -> Chipset:
    """Puts all of this file's devices on `bus`."""
    control = SystemControl()
    keyboard = KeyboardController(control)
    timer = IntervalTimer()
    latches = Latches()
    bus.claim(range(0x92, 0x93), control)
    bus.claim(range(0x60, 0x61), keyboard)
    bus.claim(range(0x64, 0x65), keyboard)
    bus.claim(range(0x70, 0x72), RealTimeClock(clock, low_ram_end))
    bus.claim(range(0x40, 0x44), timer)
    bus.claim(range(0x61, 0x62), timer)
    bus.claim(range(PM1A_CONTROL, PM1A_CONTROL + 2), PowerManagement())
    bus.claim(range(0xCF9, 0xCFA), ResetControl())
    for ports in (range(0x20, 0x22), range(0xA0, 0xA2), range(0x80, 0x90), range(0xED, 0xEE)):
        bus.claim(ports, latches)
    return Chipset(control, timer)


def bcd(value: int) -> int:
    """`value` (0 to 99) as two decimal digits in one byte."""
    return value // 10 << 4 | value % 10
