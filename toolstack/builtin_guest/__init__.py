"""The built-in guest: a small kernel of our own in bzImage format, for machines without one.

It prints on COM1 where it runs, its command line, its initrd and its memory map, every line
beginning with `builtin-guest: `, and powers the machine off. Words of the command line make it
misbehave, to try a toolstack on: `guest=silent` (never speaks), `guest=hang` (speaks, never
ends), `guest=crash` (resets the machine before its last line).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent

SOURCE: Final = _FOLDER / "guest.asm"

LAST_LINE: Final = "builtin-guest: done"
"""What a run that went well ends with."""

COMMAND_LINE: Final = "console=ttyS0 greeting=hello-from-dom0"

INITRD: Final = (_FOLDER / "initrd.txt").read_bytes()
"""The default initrd: printable text, so that the guest can show it."""


def initrd_path() -> Path:
    """The file that INITRD is."""
    return _FOLDER / "initrd.txt"


def kernel_path() -> Path:
    """The relocatable kernel, boot protocol 2.15; runs at whatever code32_start says."""
    return _FOLDER / "guest.bin"


def nonrelocatable_kernel_path() -> Path:
    """The same kernel without relocatable_kernel; refuses to be anywhere but at 0x100000."""
    return _FOLDER / "guest-nonreloc.bin"
