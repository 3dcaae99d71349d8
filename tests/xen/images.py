"""Kernels that the host brings along, by their names in dom0's /files."""

from __future__ import annotations

from typing import Final

MEMTEST: Final = "memtest86+x64.bin"
"""Debian's: it cannot be relocated, and never ends."""
WITNESS: Final = "witness-multiboot"
"""Tells on its serial port, in hexadecimal, what it was given."""
