"""The files of a guest that has no kernel: its BIOS, and on Xen hvmloader, which brings it up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from handoff.descriptor import BootMethod, Role
from handoff.errors import ConfigError
from handoff.platforms import Platform
from toolstack.config.guest import Bios, GuestConfig
from toolstack.disks import machine_disks
from toolstack.load import ImageFile


@dataclass(frozen=True, slots=True)
class Installed:
    """Where distributions put a firmware file, the best one first; a `*` stands for a release."""

    patterns: tuple[str, ...]
    package: str
    """Debian's"""
    key: str
    """setting that names another file"""


HVMLOADER = Installed(
    (
        "usr/lib/xen-*/boot/hvmloader",
        "usr/lib/xen/boot/hvmloader",
        "usr/libexec/xen/boot/hvmloader",
        "usr/local/lib/xen/boot/hvmloader",
    ),
    "xen-utils-4.17",
    "firmware_override",
)
BIOSES = MappingProxyType(
    {
        Bios.SEABIOS: Installed(
            (
                "usr/share/seabios/bios-256k.bin",
                "usr/share/qemu/bios-256k.bin",
                "usr/local/share/qemu/bios-256k.bin",
                "usr/share/seabios/bios.bin",
            ),
            "seabios",
            "bios_path_override",
        ),
        Bios.OVMF: Installed(
            (
                "usr/share/ovmf/OVMF.fd",
                "usr/share/OVMF/OVMF.fd",
                "usr/share/edk2/ovmf/OVMF.fd",
                "usr/share/qemu/OVMF.fd",
            ),
            "ovmf",
            "bios_path_override",
        ),
    }
)


def boot_method(config: GuestConfig, asked: BootMethod) -> BootMethod:
    """`asked`, or firmware where there is no kernel to look at.

    Raises: ConfigError for a method that takes a kernel without one, and the other way round.
    """
    if config.kernel is None:
        if asked not in (BootMethod.AUTO, BootMethod.FIRMWARE):
            raise ConfigError(
                f'--boot {asked.value}: no kernel is named: add kernel="PATH", or remove --boot to '
                "boot by firmware"
            )
        return BootMethod.FIRMWARE
    if asked is BootMethod.FIRMWARE:
        raise ConfigError(
            "--boot firmware: firmware boots from disks, not the kernel that is named: remove "
            "kernel=, or --boot"
        )
    return asked


def firmware_warnings(config: GuestConfig, platform: Platform, machine: str) -> tuple[str, ...]:
    """Why firmware will not come far. Raises: ConfigError if `machine` cannot start it at all.

    machine: a Machine's name.
    """
    if platform is Platform.XEN_HVM and machine == "qemu":
        raise ConfigError(
            "--platform xen-hvm: hvmloader stops without a hypervisor, which --machine qemu has "
            "not: take --platform qemu-pc, or --machine emulator to see hvmloader ask for it"
        )
    warnings = []
    if all(disk.boot_index is None for disk in machine_disks(config)):
        warnings.append(f"neither a kernel nor a disk of boot={config.boot}: firmware finds none")
    if machine == "emulator":
        warnings.append(
            "--machine emulator runs a firmware's first instructions alone: it has no disks, no "
            "PCI and no hypervisor"
        )
    return tuple(warnings)


def firmware_files(
    config: GuestConfig, platform: Platform, root: Path = Path("/")
) -> tuple[ImageFile, ...]:
    """What is loaded for a guest without a kernel: those named, or those installed below `root`.

    Raises: ConfigError naming the package with what is missing.
    """
    bios = ImageFile(Role.BIOS, _bios(config, root))
    if platform is Platform.XEN_HVM:
        named = config.firmware
        path = _installed(HVMLOADER, "hvmloader", root) if named is None else Path(named)
        tables = ((Role.ACPI, config.acpi_firmware), (Role.SMBIOS, config.smbios_firmware))
        files = (ImageFile(role, Path(named)) for role, named in tables if named is not None)
        return (*files, ImageFile(Role.FIRMWARE, path), bios)
    for key, does, value in (
        ("firmware", "replaces", config.firmware),
        ("acpi_firmware", "is for", config.acpi_firmware),
        ("smbios_firmware", "is for", config.smbios_firmware),
    ):
        if value is not None:
            raise ConfigError(
                f"{key} {value}: {does} hvmloader, which {platform.value} has not: "
                "remove it, or take --platform xen-hvm"
            )
    return (bios,)


def _bios(config: GuestConfig, root: Path) -> Path:
    if config.bios_path is not None:
        return Path(config.bios_path)
    return _installed(BIOSES[config.bios], config.bios.value, root)


def _installed(what: Installed, name: str, root: Path) -> Path:
    found = next(_found(what.patterns, root), None)
    if found is None:
        looked = ", ".join(f"/{pattern}" for pattern in what.patterns)
        raise ConfigError(
            f"{name}: there is none ({looked}): install Debian's {what.package}, or name a file "
            f"with {what.key}="
        )
    return found


def _found(patterns: Sequence[str], root: Path) -> Iterator[Path]:
    for pattern in patterns:
        # The latest release first.
        yield from (path for path in sorted(root.glob(pattern), reverse=True) if path.is_file())
