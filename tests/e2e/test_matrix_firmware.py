"""Firmware's rows of the matrix: each cell run, or followed in the emulator, or refused."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from handoff.platforms import Platform
from tests.e2e.boot_disk import boot_disk, guest
from tests.e2e.matrix.cells import (
    FIRMWARE,
    FIRMWARE_RUN,
    FIRMWARES,
    platform_of,
)
from tests.e2e.matrix.firmware import both_ways
from tests.e2e.matrix.table import Matrix
from tests.e2e.toolstack_runs import left_behind, toolstack, write_config
from tests.e2e.uefi_disk import uefi_disk


@pytest.mark.parametrize("platform", Platform, ids=lambda platform: platform.value)
@pytest.mark.parametrize("image", FIRMWARES)
def test_native_and_handoff_come_to_the_same(
    image: str, platform: Platform, matrix: Matrix
) -> None:
    came, its_own = both_ways(image, platform), platform_of(image)
    if isinstance(came, str):
        assert platform is not its_own, came
        assert f"take --platform {its_own.value}" in came
        matrix.refused[image, FIRMWARE, platform] = came
    else:
        assert platform is its_own
        matrix.followed[image, FIRMWARE, platform] = FIRMWARES[image]
        matrix.showed(image, FIRMWARE, came.shown)


def ran(matrix: Matrix, image: str, platform: Platform, carrier: str, shown: str) -> None:
    """Notes a run that was asked for, and what the guest showed in it."""
    matrix.ran[image, FIRMWARE, platform, carrier] = FIRMWARE_RUN[image][platform, carrier]
    matrix.showed(image, FIRMWARE, shown)


@pytest.mark.parametrize("carrier", [carrier for _, carrier in FIRMWARE_RUN["SeaBIOS"]])
def test_seabios_boots_from_the_disk(
    carrier: str, matrix: Matrix, tmp_path: Path, runtime: Path
) -> None:
    token = secrets.token_hex(8)
    disk = boot_disk(tmp_path, "disk.img", token)
    config = guest(tmp_path, [f"{disk},raw,hda,w"])
    way = ("--native",) if carrier == "native" else ("--carrier", carrier)

    run = toolstack(runtime, "create", str(config), "--machine", "qemu", *way)

    assert run.status == 0, run.errors
    # SeaBIOS may have sent the end of its line or not when the boot sector writes to the port.
    assert "Booting from Hard Disk.." in run.console
    assert f"{token}\n" in run.console
    ran(matrix, "SeaBIOS", Platform.QEMU_PC, carrier, "it boots the disk of the configuration")
    assert left_behind(runtime, run.pid) == []


def test_ovmf_boots_from_the_disk(matrix: Matrix, tmp_path: Path, runtime: Path) -> None:
    token = secrets.token_hex(8)
    disk = uefi_disk(tmp_path, "disk.img", token)
    config = guest(tmp_path, [f"{disk},raw,hda,w"], bios="ovmf")

    run = toolstack(runtime, "create", str(config), "--machine", "qemu")

    assert run.status == 0, run.errors
    assert "BdsDxe: " in run.console
    assert f"\n{token}\n" in run.console
    ran(matrix, "OVMF", Platform.QEMU_PC, "xenstore", "it boots the disk of the configuration")
    assert left_behind(runtime, run.pid) == []


def test_hvmloader_is_started_and_asks_for_a_hypervisor(
    matrix: Matrix, tmp_path: Path, runtime: Path
) -> None:
    config = write_config(tmp_path / "g.cfg", memory=128)
    how = ("--machine", "emulator", "--platform", "xen-hvm", "--verbose")

    run = toolstack(runtime, "create", str(config), *how)

    assert run.status == 22
    assert "bios: HVM Loader" in run.errors
    assert "HVMLoader bug at hvmloader.c:" in run.errors
    ran(matrix, "hvmloader+SeaBIOS", Platform.XEN_HVM, "xenstore", "the same by the programs")
    assert left_behind(runtime, run.pid) == []
