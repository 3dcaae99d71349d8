"""An xl.cfg(5) file as a guest: xl's and libxl's rules, applied in xl's order.

Reads text and nothing else: whether a named file exists is for whoever loads it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Final
from uuid import UUID

from handoff.modules import split_modules
from toolstack.config.disk import DiskSpec, DiskSpecError, parse_disk
from toolstack.config.errors import ConfigWarning, SettingRefused, Where
from toolstack.config.guest import (
    DEFAULT_BOOT_ORDER,
    Bios,
    DeviceModelVersion,
    GuestConfig,
    IgnoredSetting,
)
from toolstack.config.parser import parse
from toolstack.config.settings import COMMAND_LINE, Settings, add_up

KEYS: Final = (
    *("name", "uuid", "type", "builder", "memory", "maxmem", "kernel", "ramdisk", "cmdline"),
    *("root", "extra", "bios", "firmware", "firmware_override", "bios_path_override", "boot"),
    *("acpi_firmware", "smbios_firmware", "device_model_version"),
    *("device_model_stubdomain_override", "serial", "disk"),
)
"""Every key that means something here."""

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def read_config(
    text: str, source: str, overrides: Sequence[str] = ()
) -> tuple[GuestConfig, tuple[ConfigWarning, ...]]:
    """The guest that `text` describes, and what its operator should know about it.

    source: what messages call the text, usually its file name. overrides: settings in the
    same syntax that count after all of the text, as xl takes them behind the file name.
    Raises: ConfigError naming place, key, value and remedy.
    """
    parts = [parse(text, source), *(parse(override, COMMAND_LINE) for override in overrides)]
    statements = [statement for part in parts for statement in part.statements]
    settings, overruled = add_up(statements)
    reader = _Reader(Settings(settings), source)
    for part in parts:
        reader.warnings.extend(part.warnings)
    reader.warnings.extend(overruled)
    return reader.guest(), tuple(reader.warnings)


class _Reader:
    """Takes the settings in turn and collects warnings."""

    def __init__(self, settings: Settings, source: str) -> None:
        self.warnings: list[ConfigWarning] = []
        self._settings = settings
        self._start = Where(source, 1, 1)
        self._cmdline_key = "cmdline"

    def guest(self) -> GuestConfig:
        self._check_type()
        self._check_device_model()
        settings = self._settings
        name, memory = settings.text("name"), settings.number("memory")
        if name is None:
            raise self._missing("name", "every domain has one", 'add name="NAME"')
        if memory is None:
            raise self._missing("memory", "the guest's size is not guessed", "add memory=MEBIBYTES")
        kernel, cmdline = self._kernel(), self._cmdline()
        ramdisk = settings.text("ramdisk")
        modules = None if ramdisk is None else split_modules(ramdisk)
        bios, firmware = self._firmware()
        bios_path = self._bios_path()
        maxmem = settings.number("maxmem")
        if maxmem is not None and maxmem > memory:
            text = f"the guest has memory={memory} MiB: it is not ballooned here"
            self._warn("maxmem", text, left_to_libxl=True)
        boot = settings.text("boot")
        serial, disks = settings.text_or_texts("serial"), self._disks()
        try:
            return GuestConfig(
                name=name,
                memory_mib=memory,
                maxmem_mib=maxmem,
                uuid=self._uuid(),
                kernel=kernel,
                ramdisk=None if modules is None else modules[0].path,
                ramdisk_arguments="" if modules is None else modules[0].arguments,
                more_modules=() if modules is None else modules[1:],
                cmdline=cmdline,
                bios=bios,
                firmware=firmware,
                bios_path=bios_path,
                acpi_firmware=settings.text("acpi_firmware"),
                smbios_firmware=settings.text("smbios_firmware"),
                boot=DEFAULT_BOOT_ORDER if boot is None else boot,
                device_model_version=DeviceModelVersion.QEMU_XEN,
                device_model_stubdomain_override=self._stubdomain_override(),
                serial=serial,
                disks=disks,
                ignored=self._ignored(),
            )
        except SettingRefused as refused:
            raise self._located(refused) from refused

    def _check_type(self) -> None:
        """xl takes pv where neither key is set, and builder only as hvm or generic."""
        type_, builder = self._settings.text("type"), self._settings.text("builder")
        known = {"hvm": "hvm", "pv": "pv", "pvh": "pvh"}
        if type_ is not None and type_ not in known:
            raise self._refused("type", type_, "is not a domain type", 'write type="hvm"')
        if builder is not None and builder not in ("hvm", "generic"):
            raise self._refused("builder", builder, "is not a builder", 'write type="hvm"')
        if builder is not None:
            meant = "hvm" if builder == "hvm" else "pv"
            if type_ not in (None, meant):
                raise self._refused(
                    "builder", builder, f"contradicts type={type_}", "remove builder="
                )
            self._warn("builder", f'is deprecated since Xen 4.10: write type="{meant}"')
            type_ = meant
        if type_ is None:
            raise self._missing("type", "xl builds a PV guest then", 'add type="hvm"')
        if type_ != "hvm":
            raise self._refused(
                "type" if self._settings.where("type") else "builder",
                type_,
                "has no device model and no firmware, so nothing to hand over: its kernel is "
                "started by the domain builder",
                'write type="hvm"',
            )

    def _check_device_model(self) -> None:
        version = self._settings.text("device_model_version")
        if version == "qemu-xen-traditional":
            raise self._refused(
                "device_model_version",
                version,
                "needs rombios, cannot boot a kernel directly, and is gone since Xen 4.21",
                'write device_model_version="qemu-xen"',
            )
        if version not in (None, "qemu-xen"):
            raise self._refused(
                "device_model_version",
                version or "",
                "is not a device model",
                'write device_model_version="qemu-xen"',
            )
        if version is None and self._settings.switch("device_model_stubdomain_override"):
            self._warn(
                "device_model_stubdomain_override",
                'device_model_version="qemu-xen" is assumed; libxl before 4.21 takes '
                "qemu-xen-traditional for a stub domain: set it",
            )

    def _stubdomain_override(self) -> bool | None:
        wanted = self._settings.switch("device_model_stubdomain_override")
        if wanted is False:
            self._warn(
                "device_model_stubdomain_override",
                "is 0, but the device model always runs apart from the toolstack here; "
                "with --native it reads the host's files itself, as QEMU in dom0 does",
            )
        return wanted

    def _uuid(self) -> UUID | None:
        text = self._settings.text("uuid")
        if text is None:
            return None
        if _UUID.fullmatch(text) is None:
            raise self._refused(
                "uuid",
                text,
                "is not a uuid",
                "write 8-4-4-4-12 hexadecimal digits, or remove it to get a fresh one",
            )
        return UUID(text)

    def _kernel(self) -> str | None:
        kernel = self._settings.text("kernel")
        if kernel is not None and PurePosixPath(kernel).name == "hvmloader":
            self._warn(
                "kernel", "is ignored: hvmloader is firmware, old configurations named it here"
            )
            return None
        return kernel

    def _cmdline(self) -> str | None:
        """cmdline, or what root and extra make."""
        cmdline, root, extra = (self._settings.text(key) for key in ("cmdline", "root", "extra"))
        if cmdline is not None:
            for key, value in (("root", root), ("extra", extra)):
                if value is not None:
                    self._warn(key, "is ignored: cmdline= replaces root= and extra=")
            return cmdline
        if root is None:
            self._cmdline_key = "cmdline" if extra is None else "extra"
            return extra
        self._cmdline_key = "root"
        return f"root={root}" if extra is None else f"root={root} {extra}"

    def _firmware(self) -> tuple[Bios, str | None]:
        """The BIOS, and the path of a firmware of the operator's own."""
        bios = self._bios("bios", self._settings.text("bios"))
        firmware = self._settings.text("firmware")
        override = self._settings.text("firmware_override")
        if override is not None:
            if firmware is not None:
                self._warn("firmware_override", "replaces firmware=")
            return bios or Bios.SEABIOS, override
        if firmware is None:
            return bios or Bios.SEABIOS, None
        name = {"uefi": "ovmf", "bios": "seabios"}.get(firmware, firmware).lower()
        if name not in ("seabios", "ovmf", "rombios"):
            return bios or Bios.SEABIOS, firmware
        if firmware == "bios":
            return bios or Bios.SEABIOS, None
        chosen = self._bios("firmware", name)
        assert chosen is not None
        if bios not in (None, chosen):
            self._warn("firmware", "replaces bios=")
        return chosen, None

    def _bios_path(self) -> str | None:
        path = self._settings.text("bios_path_override")
        named = self._settings.where("bios") or self._settings.where("firmware")
        if path is not None and named is None:
            # As xl does: hvmloader goes by bios=, not by the file.
            self._warn("bios_path_override", 'is given without bios=: bios="seabios" is assumed')
        return path

    def _bios(self, key: str, value: str | None) -> Bios | None:
        if value is None:
            return None
        name = value.lower()
        if name == "rombios":
            raise self._refused(
                key, value, "is not supported by qemu-xen", f'write {key}="seabios"'
            )
        if name not in (bios.value for bios in Bios):
            raise self._refused(
                key, value, "is not a BIOS: seabios, ovmf", f'write {key}="seabios"'
            )
        return Bios(name)

    def _disks(self) -> tuple[DiskSpec, ...]:
        disks: list[DiskSpec] = []
        for number, text in enumerate(self._settings.texts("disk")):
            try:
                disk = parse_disk(text)
            except DiskSpecError as error:
                raise self._refused(
                    "disk", text, f"disk {number} {error.problem}", error.remedy
                ) from error
            if disk.unused:
                text = f"disk {number}: not used here: {', '.join(disk.unused)}"
                self._warn("disk", text, left_to_libxl=True)
            disks.append(disk)
        return tuple(disks)

    def _ignored(self) -> tuple[IgnoredSetting, ...]:
        """What is left, with one warning that names it all."""
        left = self._settings.left()
        names = [f"{setting.name} (line {setting.where.line})" for setting in left]
        if names:
            self.warnings.append(ConfigWarning(None, f"not used here: {', '.join(names)}", True))
        for setting in left:
            for near in get_close_matches(setting.name, KEYS, n=1, cutoff=0.8):
                self._warn(setting.name, f"is not used here: did you mean {near}?")
        return tuple(IgnoredSetting(setting.name, setting.value) for setting in left)

    def _warn(self, key: str, text: str, *, left_to_libxl: bool = False) -> None:
        where = self._settings.where(key)
        self.warnings.append(ConfigWarning(where, f"{key}: {text}", left_to_libxl))

    def _refused(self, key: str, value: str, problem: str, remedy: str) -> SettingRefused:
        return SettingRefused(self._settings.where(key), key, value, problem, remedy)

    def _missing(self, key: str, problem: str, remedy: str) -> SettingRefused:
        return SettingRefused(self._start, key, None, f"is missing: {problem}", remedy)

    def _located(self, refused: SettingRefused) -> SettingRefused:
        """A refusal of GuestConfig with the place of the setting, under the file's own key."""
        key = self._cmdline_key if refused.key == "cmdline" else refused.key
        if key == "bios" and self._settings.where("bios") is None:
            key = "firmware"
        remedy = refused.remedy.replace(f"{refused.key}=", f"{key}=")
        return replace(refused, where=self._settings.where(key), key=key, remedy=remedy)
