"""`devicemodel rom`: the BIOS extension as a file, for firmware that takes it from a device."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from devicemodel.bios_extension.block import KNOWN_BLOCK
from devicemodel.bios_extension.rom import rom_image
from handoff.errors import ConfigError


def main(argv: Sequence[str]) -> int:
    """Writes the ROM to standard output; 0. Raises: ConfigError if it cannot be written there."""
    parser().parse_args(argv)
    if os.isatty(1):
        raise ConfigError("devicemodel rom writes bytes: redirect it into a file")
    left = memoryview(rom_image())
    try:
        while left:
            left = left[os.write(1, left) :]
    except OSError as error:
        raise ConfigError(f"cannot write the ROM: {error.strerror}: name another file") from error
    return 0


def parser() -> argparse.ArgumentParser:
    """It has no options: the ROM is the same for every guest."""
    return argparse.ArgumentParser(
        prog="devicemodel rom",
        allow_abbrev=False,
        description="Write the BIOS extension to standard output: an option ROM, the same for "
        "every guest, to be the expansion ROM (romfile) of QEMU's Xen platform device. Its "
        f"parameter block is looked for at {KNOWN_BLOCK.start:#x} in guest RAM.",
    )
