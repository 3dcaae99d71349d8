from __future__ import annotations

from pathlib import Path

import pytest

from devicemodel.fw_cfg.option_roms import (
    ROM_MAX_BYTES,
    OptionRoms,
    RomMethod,
    check_option_rom,
    read_option_rom,
)
from handoff.errors import ConfigError, ImageError, LayoutError
from tests.devicemodel.fw_cfg.rom_boot import LINUX_ROMS, MULTIBOOT_ROMS, ROMS


@pytest.mark.parametrize("name", [*LINUX_ROMS, *MULTIBOOT_ROMS, "pvh.bin"])
def test_debians_roms_are_option_roms(name: str) -> None:
    check_option_rom(read_option_rom(ROMS / name))


def good() -> bytearray:
    return bytearray(read_option_rom(ROMS / "pvh.bin"))


def test_each_thing_firmware_would_stumble_over_is_refused() -> None:
    unsigned, short, changed = good(), good()[:-512], good()
    unsigned[0], changed[100] = 0x54, changed[100] ^ 1
    empty = good()
    empty[2] = 0
    for rom, field in (
        (unsigned, "signature"),
        (b"", "signature"),
        (short, "length"),
        (empty, "length"),
        (changed, "checksum"),
    ):
        with pytest.raises(LayoutError, match=field):
            check_option_rom(bytes(rom))


def test_a_method_without_a_rom_is_refused_with_the_option_that_names_one() -> None:
    roms = OptionRoms(((RomMethod.LINUX, bytes(good())),))
    assert roms.get(RomMethod.LINUX) == good()
    with pytest.raises(ConfigError, match="--rom-file"):
        roms.get(RomMethod.PVH)


def test_a_file_is_read_no_further_than_a_rom_can_be_long(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.write_bytes(bytes(10 * ROM_MAX_BYTES))
    content = read_option_rom(path)
    assert len(content) < 2 * ROM_MAX_BYTES
    with pytest.raises(LayoutError, match="signature"):
        check_option_rom(content)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.bin"):
        read_option_rom(tmp_path / "absent.bin")
