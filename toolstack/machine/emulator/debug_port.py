"""The port that firmware prints to while nobody has a screen: 0xe9, and QEMU's 0x402."""

from __future__ import annotations

from toolstack.machine.emulator.bios.video import TextLog

XEN_DEBUG = range(0xE9, 0xEA)
QEMU_DEBUG = range(0x402, 0x403)
_PRESENT = 0xE9


class DebugPort:
    """Implements PortDevice: what is written goes to a log, line by line."""

    def __init__(self, text: TextLog) -> None:
        self._text = text

    def read(self, port: int, size: int) -> int:
        """What tells firmware that somebody listens."""
        return _PRESENT

    def write(self, port: int, size: int, value: int) -> None:
        self._text.put(value & 0xFF)
