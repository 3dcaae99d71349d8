"""What firmware prints to its debug port is a line of the log."""

from __future__ import annotations

from toolstack.machine.emulator.bios.video import TextLog
from toolstack.machine.emulator.debug_port import QEMU_DEBUG, DebugPort


def test_a_line_is_told_when_it_ends() -> None:
    log: list[str] = []
    port = DebugPort(TextLog(log.append))
    for character in b"HVM Loader":
        port.write(QEMU_DEBUG.start, 1, character)
    assert log == []
    port.write(QEMU_DEBUG.start, 1, ord("\n"))
    assert log == ["HVM Loader"]


def test_firmware_learns_that_somebody_listens() -> None:
    assert DebugPort(TextLog(lambda _: None)).read(QEMU_DEBUG.start, 1) == 0xE9
