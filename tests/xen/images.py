"""Kernels that the host brings along, by their names in dom0's /files."""

from __future__ import annotations

from typing import Final

WITNESS: Final = "witness-multiboot"
"""Tells on its serial port, in hexadecimal, what it was given."""
