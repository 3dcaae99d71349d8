"""The BIOS extension as a file: on Xen it is the expansion ROM of a PCI device.

Its bytes are the same for every guest: the file is part of the installed device model, so the two
are of one version, and no program has to be started to write it. To dom0 they are opaque.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from handoff.errors import MachineError

PACKAGE: Final = "devicemodel"
"""Found, not imported: nothing of it runs in dom0's toolstack."""
FILE: Final = Path("bios_extension", "rom.bin")


def option_rom(package: str = PACKAGE) -> Path:
    """Where it is installed. Raises: MachineError if no device model of ours is."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MachineError(
            f"no Python package {package}, which has the option ROM: install the device model "
            "where the toolstack is installed"
        )
    rom = Path(spec.origin).parent / FILE
    if not rom.is_file():
        raise MachineError(f"no option ROM at {rom}: install the device model anew")
    return rom
