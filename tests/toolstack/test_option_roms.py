from __future__ import annotations

from pathlib import Path

import pytest

from handoff.errors import ConfigError
from toolstack.option_roms import ROM_DIRECTORIES, rom_arguments


def test_the_installed_roms_are_found_those_with_dma_first() -> None:
    words = rom_arguments(None)
    assert words[::2] == ("--option-rom",) * 3
    named = dict(word.split(":") for word in words[1::2])
    assert {kind: Path(path).name for kind, path in named.items()} == {
        "linux": "linuxboot_dma.bin",
        "multiboot": "multiboot_dma.bin",
        "pvh": "pvh.bin",
    }
    assert all(Path(path).parent in ROM_DIRECTORIES for path in named.values())


def test_an_older_installation_has_the_roms_without_dma(tmp_path: Path) -> None:
    (tmp_path / "linuxboot.bin").touch()
    assert rom_arguments(None, (tmp_path,)) == (
        "--option-rom",
        f"linux:{tmp_path}/linuxboot.bin",
    )


def test_a_rom_that_is_named_starts_every_kind(tmp_path: Path) -> None:
    rom = tmp_path / "mine.bin"
    rom.touch()
    words = rom_arguments(rom)
    assert {word.split(":")[0] for word in words[1::2]} == {"linux", "multiboot", "pvh"}
    assert {word.split(":")[1] for word in words[1::2]} == {str(rom)}


def test_without_roms_the_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="qemu-system-data"):
        rom_arguments(None, (tmp_path,))


def test_a_rom_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.bin"):
        rom_arguments(tmp_path / "absent.bin")
