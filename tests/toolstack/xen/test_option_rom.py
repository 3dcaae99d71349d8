from __future__ import annotations

from pathlib import Path

from toolstack.xen.option_rom import write_option_rom


async def test_the_rom_is_a_file_that_firmware_takes(tmp_path: Path) -> None:
    rom = tmp_path / "direct-boot.rom"
    await write_option_rom(rom)
    content = rom.read_bytes()
    assert content[:2] == b"\x55\xaa"
    assert len(content) == content[2] * 512
    assert sum(content) % 256 == 0
