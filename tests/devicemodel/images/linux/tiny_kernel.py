"""Builds tiny_kernel.asm, a kernel of any protocol version."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.builders import noise
from tests.devicemodel.bios_extension.seabios import assemble

SOURCE = Path(__file__).with_name("tiny_kernel.asm")
SETUP_BYTES = 5 * 512


@dataclass(frozen=True, slots=True)
class TinyKernel:
    version: int
    """0: older than 2.00"""
    high: bool
    """bzImage, not zImage"""
    relocatable: bool = False
    protected_bytes: int = 0x1234

    def build(self) -> bytes:
        """The file."""
        with TemporaryDirectory() as folder:
            image = assemble(
                SOURCE,
                Path(folder, "kernel"),
                VERSION=self.version,
                HIGH=int(self.high),
                RELOCATABLE=int(self.relocatable),
                LOAD=0x100000 if self.high else 0x10000,
                SIZE=self.protected_bytes,
            )
        code = image[SETUP_BYTES:]
        body = code + noise(self.protected_bytes - 4 - len(code), 4)
        return image[:SETUP_BYTES] + body + struct.pack("<I", sum(body))
