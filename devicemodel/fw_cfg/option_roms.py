"""QEMU's option ROMs as the device model has them: read before it is confined, checked after."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from handoff.errors import ConfigError, ImageError, LayoutError

SECTOR_BYTES = 512
ROM_MAX_BYTES = 255 * SECTOR_BYTES


class RomMethod(Enum):
    """What a ROM starts; both kinds of a ROM, by port and by DMA, read the same items."""

    LINUX = "linux"
    MULTIBOOT = "multiboot"
    PVH = "pvh"


@dataclass(frozen=True, slots=True)
class OptionRoms:
    """Bytes of the ROM for each method that has one."""

    by_method: tuple[tuple[RomMethod, bytes], ...]

    def get(self, method: RomMethod) -> bytes:
        """The ROM of `method`. Raises: ConfigError if there is none, LayoutError for one that
        firmware would not run."""
        rom = dict(self.by_method).get(method)
        if rom is None:
            raise ConfigError(f"no option ROM for {method.value}: name one with --rom-file")
        check_option_rom(rom)
        return rom


def read_option_rom(path: Path) -> bytes:
    """The bytes of a ROM file, a sector more at most than a ROM can have. Raises: ImageError."""
    try:
        with open(path, "rb") as file:
            return file.read(ROM_MAX_BYTES + SECTOR_BYTES)
    except OSError as error:
        raise ImageError(
            f"option ROM {path}: {error.strerror}: name a readable file with --rom-file"
        ) from error


def check_option_rom(rom: bytes) -> None:
    """Nothing. Raises: LayoutError if firmware would pass this ROM over.

    Source: BIOS boot specification 1.01.
    """
    if rom[:2] != b"\x55\xaa" or len(rom) < 3:
        raise LayoutError("option ROM signature", 0, rom[:2].hex() or "missing", "must be 55aa")
    if not rom[2] or rom[2] * SECTOR_BYTES != len(rom):
        raise LayoutError(
            "option ROM length", 2, f"{rom[2]:#x}", f"the file has {len(rom):#x} bytes"
        )
    if sum(rom) % 256:
        raise LayoutError(
            "option ROM checksum", 0, f"{sum(rom) % 256:#x}", "the bytes must add up to 0"
        )
