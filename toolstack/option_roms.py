"""Which option ROM brings the kernel in: ours, or QEMU's; and where QEMU's are."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from types import MappingProxyType

from handoff.errors import ConfigError


class RomChoice(Enum):
    """The values of --rom."""

    OWN = "own"
    """the BIOS extension of the device model"""
    QEMU = "qemu"
    """QEMU's option ROM for the kernel's kind, unmodified, served through fw_cfg"""


ROM_DIRECTORIES = tuple(
    Path(name) for name in ("/usr/share/qemu", "/usr/share/seabios", "/usr/local/share/qemu")
)
"""Where distributions and `make install` put them."""
_ROMS = MappingProxyType(
    {
        "linux": ("linuxboot_dma.bin", "linuxboot.bin"),
        "multiboot": ("multiboot_dma.bin", "multiboot.bin"),
        "pvh": ("pvh.bin",),
    }
)
"""Per kind of kernel the file names, the best one first."""


def rom_arguments(
    rom_file: Path | None, directories: Sequence[Path] = ROM_DIRECTORIES
) -> tuple[str, ...]:
    """The device model's words for QEMU's ROMs: the one that was named, or those installed.

    Raises: ConfigError if there are none.
    """
    if rom_file is not None:
        if not rom_file.is_file():
            raise ConfigError(f"--rom-file {rom_file}: no such file: name an option ROM of QEMU")
        found = {kind: rom_file.absolute() for kind in _ROMS}
    else:
        found = {}
        for kind, names in _ROMS.items():
            paths = [directory / name for name in names for directory in directories]
            installed = next((path for path in paths if path.is_file()), None)
            if installed is not None:
                found[kind] = installed
    if not found:
        looked = ", ".join(map(str, directories))
        raise ConfigError(
            f"--rom qemu: no option ROM of QEMU in {looked}: install Debian's qemu-system-data, "
            "or name one with --rom-file"
        )
    words = []
    for kind, path in found.items():
        words += ["--option-rom", f"{kind}:{path}"]
    return tuple(words)
