from __future__ import annotations

import os
from pathlib import Path

import pytest

from handoff.errors import MachineError
from toolstack.xen import option_rom
from toolstack.xen.option_rom import write_option_rom


async def test_the_rom_is_a_file_that_firmware_takes(tmp_path: Path) -> None:
    rom = tmp_path / "direct-boot.rom"
    await write_option_rom(rom)
    content = rom.read_bytes()
    assert content[:2] == b"\x55\xaa"
    assert len(content) == content[2] * 512
    assert sum(content) % 256 == 0


async def test_an_interrupt_at_our_terminal_does_not_reach_who_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "cut -d' ' -f6 /proc/self/stat >&2; exit 1"
    monkeypatch.setattr(option_rom, "PROGRAM", ("sh", "-c", script))
    with pytest.raises(MachineError, match=r"writes no option ROM: \d+$") as failed:
        await write_option_rom(tmp_path / "direct-boot.rom")
    assert int(str(failed.value).rpartition(" ")[2]) != os.getsid(0)
