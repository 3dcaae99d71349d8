"""Int 10h: text goes to the log, line by line; there is no screen."""

from __future__ import annotations

from collections.abc import Callable

from toolstack.machine.emulator.bios.call import BiosCall
from toolstack.machine.emulator.cpu import Register

_LINE_MAX = 160
_TEXT_MODE = 3
_COLUMNS = 80
_CURSOR_SHAPE = 0x0607
_REPEAT_MAX = 2000


class TextLog:
    """Collects characters into lines and hands on each finished one."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._line = ""

    def put(self, character: int) -> None:
        if character in (0x0A, 0x0D):
            self.flush()
        elif 0x20 <= character < 0x7F:
            self._line += chr(character)
            if len(self._line) == _LINE_MAX:
                self.flush()

    def flush(self) -> None:
        if self._line:
            self._log(self._line)
        self._line = ""


def video_service(call: BiosCall, text: TextLog) -> None:
    """Int 10h by AH. Source: IBM PS/2 and PC BIOS technical reference."""
    function = call.get(Register.AH)
    if function == 0x0E:
        text.put(call.get(Register.AL))
    elif function in (0x09, 0x0A):
        for _ in range(min(call.get(Register.CX), _REPEAT_MAX)):
            text.put(call.get(Register.AL))
    elif function == 0x13:
        _write_string(call, text)
    elif function == 0x03:
        call.set(Register.CX, _CURSOR_SHAPE)
        call.set(Register.DX, 0)
    elif function == 0x08:
        call.set(Register.AX, 0x0720)
    elif function == 0x0F:
        call.set(Register.AH, _COLUMNS)
        call.set(Register.AL, _TEXT_MODE)
        call.set(Register.BH, 0)


def _write_string(call: BiosCall, text: TextLog) -> None:
    count = min(call.get(Register.CX), _REPEAT_MAX)
    with_attributes = bool(call.get(Register.AL) & 2)
    at = call.address(Register.ES, Register.BP)
    cells = call.cpu.read(at, count * 2 if with_attributes else count)
    for character in cells[:: 2 if with_attributes else 1]:
        text.put(character)
