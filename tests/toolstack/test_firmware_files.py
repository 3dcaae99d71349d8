"""Which firmware a guest without a kernel is given, and what is said where it is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from handoff.descriptor import TABLES, BootMethod, Role
from handoff.errors import ConfigError
from handoff.platforms import Platform
from tests.toolstack.fakes import guest_config
from toolstack.config import GuestConfig
from toolstack.config.disk import parse_disk
from toolstack.config.guest import Bios
from toolstack.firmware_files import boot_method, firmware_files, firmware_warnings

GUEST = guest_config()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with two releases of Xen."""
    for name in (
        "usr/lib/xen-4.14/boot/hvmloader",
        "usr/lib/xen-4.17/boot/hvmloader",
        "usr/share/seabios/bios-256k.bin",
        "usr/share/seabios/bios.bin",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_a_qemu_pc_is_given_the_bios_that_is_installed(root: Path) -> None:
    (bios,) = firmware_files(GUEST, Platform.QEMU_PC, root)
    assert (bios.role, bios.path) == (Role.BIOS, root / "usr/share/seabios/bios-256k.bin")


def test_on_xen_the_latest_hvmloader_brings_it_up(root: Path) -> None:
    loader, bios = firmware_files(GUEST, Platform.XEN_HVM, root)
    assert (loader.role, bios.role) == (Role.FIRMWARE, Role.BIOS)
    assert loader.path == root / "usr/lib/xen-4.17/boot/hvmloader"


def test_what_is_named_replaces_what_is_installed(root: Path) -> None:
    config = replace(GUEST, firmware="/mine/hvmloader", bios_path="/mine/bios.bin")
    files = firmware_files(config, Platform.XEN_HVM, root)
    assert [file.path for file in files] == [Path("/mine/hvmloader"), Path("/mine/bios.bin")]


def test_tables_for_hvmloader_are_loaded_with_it(root: Path) -> None:
    config = replace(GUEST, acpi_firmware="/mine/acpi", smbios_firmware="/mine/smbios")
    files = firmware_files(config, Platform.XEN_HVM, root)
    assert [file.role for file in files] == [*TABLES, Role.FIRMWARE, Role.BIOS]
    assert [file.path for file in files[:2]] == [Path("/mine/acpi"), Path("/mine/smbios")]


@pytest.mark.parametrize("key", ["acpi_firmware", "smbios_firmware"])
def test_a_qemu_pc_has_no_hvmloader_to_read_tables(key: str, root: Path) -> None:
    with pytest.raises(ConfigError, match=f"{key} /mine: is for hvmloader.*--platform xen-hvm"):
        firmware_files(replace(GUEST, **{key: "/mine"}), Platform.QEMU_PC, root)


@pytest.mark.parametrize(
    ("config", "platform", "package"),
    [
        (replace(GUEST, bios=Bios.OVMF), Platform.QEMU_PC, "ovmf"),
        (replace(GUEST, bios=Bios.SEABIOS), Platform.QEMU_PC, "seabios"),
        (replace(GUEST, bios_path="/mine/bios.bin"), Platform.XEN_HVM, "xen-utils"),
    ],
)
def test_what_is_missing_is_named_with_its_package(
    config: GuestConfig, platform: Platform, package: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        firmware_files(config, platform, tmp_path)
    assert f"install Debian's {package}" in str(refused.value)
    assert "_override=" in str(refused.value)


def test_a_qemu_pc_has_no_hvmloader_to_replace(root: Path) -> None:
    with pytest.raises(ConfigError, match="take --platform xen-hvm"):
        firmware_files(replace(GUEST, firmware="/mine"), Platform.QEMU_PC, root)


@pytest.mark.parametrize(
    ("kernel", "asked", "method"),
    [
        (None, BootMethod.AUTO, BootMethod.FIRMWARE),
        (None, BootMethod.FIRMWARE, BootMethod.FIRMWARE),
        ("/k", BootMethod.AUTO, BootMethod.AUTO),
        ("/k", BootMethod.PVH, BootMethod.PVH),
    ],
)
def test_without_a_kernel_firmware_boots(
    kernel: str | None, asked: BootMethod, method: BootMethod
) -> None:
    assert boot_method(replace(GUEST, kernel=kernel), asked) is method


@pytest.mark.parametrize("asked", [BootMethod.LINUX, BootMethod.PVH, BootMethod.MULTIBOOT])
def test_a_way_to_start_a_kernel_takes_one(asked: BootMethod) -> None:
    with pytest.raises(ConfigError, match="no kernel is named: add kernel="):
        boot_method(GUEST, asked)


def test_firmware_does_not_start_the_kernel_that_is_named() -> None:
    with pytest.raises(ConfigError, match="remove kernel="):
        boot_method(replace(GUEST, kernel="/k"), BootMethod.FIRMWARE)


def test_hvmloader_is_not_started_where_it_can_only_stop() -> None:
    with pytest.raises(ConfigError, match="take --platform qemu-pc"):
        firmware_warnings(GUEST, Platform.XEN_HVM, "qemu")


def test_a_guest_with_nothing_to_boot_from_is_said_to_be_one() -> None:
    disk = parse_disk("/d.img,raw,hda,w")
    assert firmware_warnings(replace(GUEST, disks=(disk,)), Platform.QEMU_PC, "qemu") == ()
    for config in (GUEST, replace(GUEST, disks=(disk,), boot="d")):
        (said,) = firmware_warnings(config, Platform.QEMU_PC, "qemu")
        assert "neither a kernel nor a disk" in said


def test_the_emulator_says_how_far_firmware_comes_in_it() -> None:
    said = firmware_warnings(GUEST, Platform.XEN_HVM, "emulator")
    assert "first instructions alone" in said[-1]
