"""One disk of a guest: the strings of `disk=[ ... ]`.

Source: xl-disk-configuration(5); the order of libxlutil's scanner, which decides what a
parameter without a key means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeVar

from toolstack.config.errors import shown
from toolstack.config.vdev import VirtualDevice, virtual_device

T = TypeVar("T")


class DiskFormat(Enum):
    RAW = "raw"
    QCOW = "qcow"
    QCOW2 = "qcow2"
    VHD = "vhd"
    QED = "qed"
    EMPTY = "empty"
    """a drive without a medium"""


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """What the operator wants as one disk."""

    target: str | None
    """path of the image file or block device in dom0; None for an empty drive"""
    format: DiskFormat
    vdev: str
    """as written: `xvda`"""
    device: VirtualDevice
    read_only: bool
    cdrom: bool
    unused: tuple[str, ...] = ()
    """parameters that change nothing here, as written"""


class DiskSpecError(Exception):
    """A disk string that cannot be used. `str()`: what is wrong, and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy


_ACCESS_READ_ONLY: Final = {"r": True, "ro": True, "w": False, "rw": False, "": False}
_BACKEND_TYPES: Final = ("phy", "tap", "qdisk", "standalone")
_FLAGS_UNUSED: Final = frozenset(
    ["direct-io-safe", "discard", "no-discard", "colo", "no-colo", "trusted", "untrusted"]
)
_KEYS_UNUSED: Final = frozenset(
    [
        *("specification", "grant_usage", "colo-host", "colo-port", "colo-export"),
        *("active-disk", "hidden-disk"),
    ]
)
_FORMAT_PREFIX: Final = re.compile(r"(raw|qcow2?|vhd):")
_SCRIPT_PREFIX: Final = re.compile(r"(iscsi|e?nbd|drbd):")
_IDLE_PREFIX: Final = re.compile(r"(tapdisk|tap2?|aio|ioemu|file|phy):")
_OTHER_PREFIX: Final = re.compile(r"([a-z][a-z0-9]*):(?![a-z0-9])")


def parse_disk(spec: str) -> DiskSpec:
    """The disk that `spec` describes. Raises: DiskSpecError."""
    draft = _Draft()
    rest = spec
    while rest := rest.lstrip(" \t\n"):
        rest = draft.take(rest)
    return draft.finish()


@dataclass(slots=True)
class _Draft:
    """What the parameters said so far."""

    target: str | None = None
    format: DiskFormat | None = None
    vdev: str | None = None
    access: str | None = None
    read_only: bool = False
    cdrom: bool = False
    prefixed: bool = False
    """an xm-style `file:` prefix: no positional format follows"""
    unused: list[str] = field(default_factory=list)

    def take(self, rest: str) -> str:
        """Reads the first parameter of `rest`, returns what is behind it."""
        if rest.startswith("target="):
            self._set_target(rest.removeprefix("target="))
            return ""
        unprefixed = self._take_prefix(rest)
        if unprefixed is not None:
            return unprefixed
        word, _, behind = rest.partition(",")
        key, equals, value = word.partition("=")
        if equals:
            self._set_key(key, value)
        elif word == "cdrom":
            self.cdrom = True
        elif word in _FLAGS_UNUSED:
            self.unused.append(word)
        else:
            self._set_positional(word)
        return behind

    def _take_prefix(self, rest: str) -> str | None:
        """What is behind the xm-style prefix of `rest`, None if it has none."""
        if match := _FORMAT_PREFIX.match(rest):
            self._set_format(match[1])
        elif match := _SCRIPT_PREFIX.match(rest):
            raise _no_script(f"block-{match[1]}")
        elif not (match := _IDLE_PREFIX.match(rest)):
            if match := _OTHER_PREFIX.match(rest):
                raise DiskSpecError(
                    f"has the unknown prefix {shown(match[0])}",
                    "write target=PATH as the last parameter",
                )
            return None
        self.prefixed = True
        return rest[match.end() :]

    def _set_key(self, key: str, value: str) -> None:
        match key:
            case "format":
                self._set_format(value)
            case "vdev":
                self._set_vdev(value)
            case "access":
                self._set_access(value)
            case "devtype":
                self.cdrom = _choice("devtype", value, {"cdrom": True, "disk": False})
            case "backendtype":
                _choice("backendtype", value, {name: name for name in _BACKEND_TYPES})
                self.unused.append(f"{key}={value}")
            case "backend":
                _choice("backend", value, {"0": 0, "Domain-0": 0, "": 0})
            case "script":
                if value:
                    raise _no_script(value)
            case _ if key in _KEYS_UNUSED:
                self.unused.append(f"{key}={value}")
            case _:
                raise DiskSpecError(
                    f"has the unknown parameter {shown(key)}",
                    "use target, format, vdev, access, devtype, cdrom; a target that holds "
                    "'=' or ',' must come last, as target=PATH",
                )

    def _set_positional(self, word: str) -> None:
        if self.target is None:
            self.target = word
        elif not self.prefixed and self.format is None:
            vdev, colon, _ = word.rpartition(":")
            if colon and vdev and not self.target:
                self._set_vdev_and_type(word)
                self.format = DiskFormat.EMPTY
            else:
                self._set_format(word)
        elif self.vdev is None:
            self._set_vdev_and_type(word)
        elif self.access is None:
            self.access = word
            self._set_access(word)
        else:
            raise DiskSpecError(
                f"has {shown(word)} behind target, format, vdev and access", "remove it"
            )

    def _set_target(self, value: str) -> None:
        if self.target:
            raise DiskSpecError(f"names two targets, {shown(self.target)} first", "keep one")
        self.target = value

    def _set_format(self, value: str) -> None:
        wanted = _choice("format", value, {"": DiskFormat.RAW, **{f.value: f for f in DiskFormat}})
        if self.format not in (None, wanted):
            raise DiskSpecError(f"names two formats, {shown(value)} last", "keep one")
        self.format = wanted

    def _set_vdev(self, value: str) -> None:
        if self.vdev:
            raise DiskSpecError(f"names two vdevs, {shown(self.vdev)} first", "keep one")
        self.vdev = value

    def _set_vdev_and_type(self, word: str) -> None:
        vdev, colon, devtype = word.rpartition(":")
        if not colon:
            self._set_vdev(word)
            return
        self._set_vdev(vdev)
        self.cdrom = _choice("device type", devtype, {"cdrom": True, "disk": False})

    def _set_access(self, value: str) -> None:
        self.read_only = _choice("access", value, _ACCESS_READ_ONLY)

    def finish(self) -> DiskSpec:
        device = virtual_device(self.vdev) if self.vdev else None
        if not self.vdev or device is None:
            raise DiskSpecError(
                f"has the vdev {shown(self.vdev)}" if self.vdev else "has no vdev",
                "name the guest's device as xvda, hda (to hdd) or sda, in the third place or as "
                "vdev=xvda",
            )
        if not self.target and not self.cdrom:
            raise DiskSpecError("has no target", "name the image's path first, or add cdrom")
        if self.format is DiskFormat.EMPTY and not self.cdrom:
            raise DiskSpecError("is empty and not a cdrom", "add cdrom, or name the format")
        empty = not self.target or self.format is DiskFormat.EMPTY
        return DiskSpec(
            target=None if empty else self.target,
            format=DiskFormat.EMPTY if empty else self.format or DiskFormat.RAW,
            vdev=self.vdev,
            device=device,
            read_only=self.read_only or self.cdrom,
            cdrom=self.cdrom,
            unused=tuple(self.unused),
        )


def _choice(what: str, value: str, choices: Mapping[str, T]) -> T:
    if value not in choices:
        known = ", ".join(name for name in choices if name)
        raise DiskSpecError(f"has the {what} {shown(value)}", f"use one of {known}")
    return choices[value]


def _no_script(script: str) -> DiskSpecError:
    return DiskSpecError(
        f"wants the hotplug script {shown(script)}",
        "give a file or block device as target: no hotplug scripts are run",
    )
