"""What xl is asked to build: the guest's own configuration without its kernel, plus our ROM.

libxl then builds an HVM domain whose firmware boots from an option ROM; it never sees a kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

from handoff.errors import ConfigError
from toolstack.config import Bios, DiskFormat, DiskSpec, GuestConfig
from toolstack.config.parser import Atom, List, Value
from toolstack.xen.stub_settings import KEYS

DEVICE_MODEL_ARGUMENTS: Final = "device_model_args_hvm"
ROM_OF: Final = "xen-platform"
"""The PCI device whose expansion ROM the BIOS extension is: every HVM guest has one."""
_ENDS: Final = ("on_poweroff", "on_reboot", "on_crash", "on_watchdog")
"""The domain stays when the guest ends: who watches it decides what follows."""


def domain_config(config: GuestConfig, uuid: UUID, rom: Path) -> str:
    """The text that `xl create` is given.

    rom: the BIOS extension, by a name that QEMU in dom0 can open.
    Raises: ConfigError for a guest that cannot be handed over on Xen.
    """
    if config.kernel is None:
        raise ConfigError(
            "kernel: is missing: what --machine xen hands over is a kernel; without one, "
            "`xl create` boots the guest"
        )
    if config.bios is not Bios.SEABIOS:
        raise ConfigError(
            f'bios="{config.bios.value}": starts no option ROM with a BEV: write bios="seabios"'
        )
    return config_text(_settings(config, uuid, rom))


def config_text(settings: Iterable[tuple[str, object]]) -> str:
    """Settings as an xl.cfg(5)."""
    return "".join(f"{name} = {_text(value)}\n" for name, value in settings)


def _settings(config: GuestConfig, uuid: UUID, rom: Path) -> Iterator[tuple[str, object]]:
    yield "type", "hvm"
    yield "name", config.name
    yield "uuid", str(uuid)
    yield "memory", config.memory_mib
    if config.maxmem_mib is not None:
        yield "maxmem", config.maxmem_mib
    # The option ROM first; what it boots does not come back.
    yield "boot", "n"
    yield "serial", ["pty", *config.serial[1:]]
    if config.firmware is not None:
        yield "firmware_override", config.firmware
    if config.bios_path is not None:
        yield "bios", config.bios.value
        yield "bios_path_override", config.bios_path
    if config.disks:
        yield "disk", [_disk(disk) for disk in config.disks]
    given = {setting.name: setting.value for setting in config.ignored}
    extra = given.pop(DEVICE_MODEL_ARGUMENTS, None)
    yield DEVICE_MODEL_ARGUMENTS, [*_words(extra), "-global", f"{ROM_OF}.romfile={rom}"]
    yield "xen_platform_pci", 1
    for name in _ENDS:
        yield name, "preserve"
    for name, value in given.items():
        if name not in (*_ENDS, *KEYS, "xen_platform_pci"):
            yield name, value


def _words(extra: Value | None) -> list[str]:
    """The operator's own arguments for QEMU. Raises: ConfigError if they are no list of words."""
    if extra is None:
        return []
    if isinstance(extra, Atom) or any(isinstance(item, List) for item in extra.items):
        raise ConfigError(
            f"{DEVICE_MODEL_ARGUMENTS}: {extra} is no list of strings: write "
            f'{DEVICE_MODEL_ARGUMENTS}=[ "...", "..." ]'
        )
    return [str(item) for item in extra.items]


def _disk(disk: DiskSpec) -> str:
    """Source: xl-disk-configuration(5); target must be last, as it takes the rest."""
    access = "r" if disk.read_only else "w"
    words = [f"vdev={disk.vdev}", f"access={access}", *disk.unused]
    if disk.cdrom:
        words.append("devtype=cdrom")
    if disk.format is not DiskFormat.EMPTY:
        words.append(f"format={disk.format.value}")
    if disk.target is not None:
        words.append(f"target={disk.target}")
    return ",".join(words)


def _text(value: object) -> str:
    """`value` as xl.cfg(5) writes it."""
    match value:
        case int():
            return str(value)
        case Atom(text):
            return _quoted(text)
        case List(items):
            return f"[{', '.join(map(_text, items))}]"
        case list():
            return f"[{', '.join(map(_text, value))}]"
        case _:
            return _quoted(str(value))


def _quoted(text: str) -> str:
    """A number may stand in quotes, too: which one a key wants, xl decides."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
