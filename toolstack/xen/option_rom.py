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

PROGRAM: Final = (sys.executable, "-I", "-m", "devicemodel", "rom")
WRITE_S: Final = 60.0


async def write_option_rom(path: Path) -> None:
    """Raises: MachineError if no device model of ours is installed."""
    done = None
    with trio.move_on_after(WRITE_S):
        done = await trio.run_process(
            PROGRAM,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            # An interrupt at our terminal is ours to pass on.
            start_new_session=True,
        )
    if done is None or done.returncode != 0 or done.stdout[:2] != b"\x55\xaa":
        words = b"no end" if done is None else done.stderr
        said = printable(words.decode("utf-8", "replace").strip(), 200)
        raise MachineError(f"`devicemodel rom` writes no option ROM: {said}")
    await trio.Path(path).write_bytes(done.stdout)
