"""The BIOS extension as a file: on Xen it is the expansion ROM of a PCI device.

Its bytes are the same for every guest. The device model's program writes them, as dom0 knows of
option ROMs nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import trio

from handoff.errors import MachineError, printable
from toolstack.xen.program import run_to_end

PROGRAM: Final = (sys.executable, "-I", "-m", "devicemodel", "rom")
WRITE_S: Final = 60.0


async def write_option_rom(path: Path) -> None:
    """Raises: MachineError if no device model of ours is installed."""
    ended = await run_to_end(PROGRAM, WRITE_S)
    if ended is None or ended.status != 0 or ended.stdout[:2] != b"\x55\xaa":
        words = b"no end" if ended is None else ended.stderr
        said = printable(words.decode("utf-8", "replace").strip(), 200)
        raise MachineError(f"`devicemodel rom` writes no option ROM: {said}")
    await trio.Path(path).write_bytes(ended.stdout)
