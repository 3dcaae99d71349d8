"""Where QEMU's standard error goes: a memory file of fixed size.

A file needs no task that reads it, and one that cannot grow needs no trust: what does not
fit is lost, and QEMU goes on.
"""

from __future__ import annotations

import os

from handoff.guest_ram import create_ram_file

SIZE_BYTES = 16 * 1024


def create() -> int:
    """An empty one. Raises: OSError."""
    return create_ram_file("qemu-stderr", SIZE_BYTES)


def last_line(fd: int) -> str:
    """The last line in it, without QEMU's own name in front; empty if there is none."""
    written, _, _ = os.pread(fd, SIZE_BYTES, 0).partition(b"\0")
    lines = written.decode("utf-8", "replace").strip().splitlines()
    if not lines:
        return ""
    program, separator, message = lines[-1].partition(": ")
    return message if separator and program.rpartition("/")[2].startswith("qemu") else lines[-1]
