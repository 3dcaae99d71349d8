"""`--option-rom`, of the device model and of `inspect`: QEMU's ROM in the place of our own."""

from __future__ import annotations

import argparse
from pathlib import Path

from devicemodel.fw_cfg.option_roms import OptionRoms, RomMethod, read_option_rom


def add_option_rom(out: argparse.ArgumentParser) -> None:
    """Lets the command line name ROMs."""
    out.add_argument(
        "--option-rom",
        dest="roms",
        action="append",
        type=_method_and_file,
        default=[],
        metavar="METHOD:FILE",
        help="start kernels of METHOD (linux, multiboot, pvh) with this option ROM of QEMU",
    )


def option_roms(options: argparse.Namespace) -> OptionRoms | None:
    """Those that were named, read; None: our own is to start the guest. Raises: ImageError."""
    roms = tuple((method, read_option_rom(path)) for method, path in options.roms)
    return OptionRoms(roms) if roms else None


def _method_and_file(text: str) -> tuple[RomMethod, Path]:
    method, separator, path = text.partition(":")
    if not separator or method not in {known.value for known in RomMethod}:
        raise argparse.ArgumentTypeError(f"{text!r} is not METHOD:FILE")
    return RomMethod(method), Path(path)
