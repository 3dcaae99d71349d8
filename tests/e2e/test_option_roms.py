"""QEMU's option ROMs through all processes: toolstack, confined device model, confined emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from handoff.errors import ConfigError, LayoutError
from tests.devicemodel.fw_cfg.rom_boot import LINUX_ROMS, ROMS
from tests.e2e.toolstack_runs import left_behind, toolstack

QEMU_ROM = ("--machine", "emulator", "--rom", "qemu")


@pytest.mark.parametrize("rom", LINUX_ROMS)
@pytest.mark.parametrize("how", [(), ("--native",), ("--carrier", "memory")])
def test_the_builtin_guest_starts(runtime: Path, rom: str, how: tuple[str, ...]) -> None:
    run = toolstack(runtime, "demo", *QEMU_ROM, "--rom-file", str(ROMS / rom), *how)
    assert run.status == 0, run.errors
    assert "builtin-guest: loader type   0xb0" in run.console
    assert run.console.rstrip().endswith("builtin-guest: done")
    assert left_behind(runtime, run.pid) == []


def test_the_rom_is_found_and_every_layer_of_confinement_holds(runtime: Path) -> None:
    run = toolstack(runtime, "demo", "--rom", "qemu", "--sandbox", "strict", "-v")
    assert run.status == 0, run.errors
    assert "Linux loader DMA" in run.errors
    assert "QEMU's, unmodified" in run.errors


@pytest.mark.parametrize("machine", ["qemu", "none", "xen"])
def test_other_machines_are_refused_in_words(runtime: Path, machine: str) -> None:
    run = toolstack(runtime, "demo", "--machine", machine, "--rom", "qemu")
    assert run.status == ConfigError.exit_code
    assert "take --machine emulator" in run.errors


def test_a_rom_file_without_the_choice_is_refused(runtime: Path) -> None:
    run = toolstack(runtime, "demo", "--rom-file", str(ROMS / "pvh.bin"))
    assert run.status == ConfigError.exit_code
    assert "--rom qemu" in run.errors


def test_a_file_that_is_no_option_rom_is_refused_by_the_device_model(
    tmp_path: Path, runtime: Path
) -> None:
    rom = tmp_path / "rom"
    rom.write_bytes(bytes(1024))
    run = toolstack(runtime, "demo", *QEMU_ROM, "--rom-file", str(rom))
    assert run.status == LayoutError.exit_code
    assert "option ROM signature" in run.errors
