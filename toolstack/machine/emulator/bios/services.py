"""The other interrupt services: equipment, memory size, disk, keyboard, time of day.

Source: IBM PS/2 and PC BIOS technical reference; Ralf Brown's interrupt list.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

from toolstack.machine.emulator.bios import layout
from toolstack.machine.emulator.bios.call import BiosCall
from toolstack.machine.emulator.bios.system import SystemServices
from toolstack.machine.emulator.bios.video import TextLog, video_service
from toolstack.machine.emulator.chipset import Clock, bcd
from toolstack.machine.emulator.cpu import Register
from toolstack.machine.emulator.stop import GuestStopped, StopReason

_TICKS_PER_DAY = 0x1800B0
_SECONDS_PER_DAY = 86400
_DISK_INVALID_COMMAND = 0x01
_PCI_FUNCTION_NOT_SUPPORTED = 0x81

Service = Callable[[BiosCall], None]


def service_table(system: SystemServices, text: TextLog, clock: Clock) -> dict[int, Service]:
    """Vector to service; the vectors not in it do nothing but return."""
    return {
        0x10: lambda call: video_service(call, text),
        0x11: _equipment,
        0x12: _memory_size,
        0x13: _disk,
        0x15: system.call,
        0x16: _keyboard,
        0x1A: lambda call: _time_of_day(call, clock),
    }


def _equipment(call: BiosCall) -> None:
    call.set(Register.AX, _word(call, layout.BDA_EQUIPMENT))


def _memory_size(call: BiosCall) -> None:
    call.set(Register.AX, _word(call, layout.BDA_BASE_MEMORY_KIB))


def _disk(call: BiosCall) -> None:
    """There is no drive of any number."""
    if call.get(Register.AH) == 0x08:
        call.set(Register.DL, 0)
    call.cpu.write(layout.BDA_DISK_STATUS, bytes((_DISK_INVALID_COMMAND,)))
    call.fail(_DISK_INVALID_COMMAND)


def _keyboard(call: BiosCall) -> None:
    """No key was ever pressed."""
    function = call.get(Register.AH)
    if function in (0x00, 0x10):
        raise GuestStopped(StopReason.UNFIT, f"waits for a key in int 16h AH={function:02x}h")
    if function in (0x01, 0x11):
        call.set_zero(True)
    elif function in (0x02, 0x12):
        call.set(Register.AX, function << 8 if function == 0x02 else 0)


def _time_of_day(call: BiosCall, clock: Clock) -> None:
    function = call.get(Register.AH)
    now = time.gmtime(clock())
    if function == 0x00:
        seconds = clock() % _SECONDS_PER_DAY
        ticks = int(seconds * _TICKS_PER_DAY / _SECONDS_PER_DAY)
        call.set(Register.CX, ticks >> 16)
        call.set(Register.DX, ticks & 0xFFFF)
        call.set(Register.AL, 0)
        call.set_carry(False)
    elif function == 0x02:
        call.set(Register.CX, bcd(now.tm_hour) << 8 | bcd(now.tm_min))
        call.set(Register.DX, bcd(now.tm_sec) << 8)
        call.set_carry(False)
    elif function == 0x04:
        call.set(Register.CX, bcd(now.tm_year // 100) << 8 | bcd(now.tm_year % 100))
        call.set(Register.DX, bcd(now.tm_mon) << 8 | bcd(now.tm_mday))
        call.set_carry(False)
    elif function == 0x01:
        call.set_carry(False)
    elif function == 0xB1:
        call.fail(_PCI_FUNCTION_NOT_SUPPORTED)
    else:
        call.set_carry(True)


def _word(call: BiosCall, at: int) -> int:
    (value,) = struct.unpack("<H", call.cpu.read(at, 2))
    return int(value)
