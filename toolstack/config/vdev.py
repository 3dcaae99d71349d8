"""Names of virtual disks, and the numbers xenstore knows them by.

Source: xen-vbd-interface(7); libxl's reading of a vdev.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Bus(Enum):
    """What kind of disk the name asks for; the value is the name's prefix."""

    XVD = "xvd"
    HD = "hd"
    SD = "sd"


@dataclass(frozen=True, slots=True)
class VirtualDevice:
    """A disk, or one partition of it."""

    bus: Bus
    disk: int
    """from 0: `a` is 0"""
    partition: int
    """0 is the whole disk"""

    @property
    def number(self) -> int:
        """The device number, as in `device/vbd/<number>`."""
        if self.bus is Bus.HD:
            major = 3 if self.disk < 2 else 22
            return major << 8 | (self.disk & 1) << 6 | self.partition
        if self.bus is Bus.SD:
            return 8 << 8 | self.disk << 4 | self.partition
        if self.disk < 16 and self.partition < 16:
            return 202 << 8 | self.disk << 4 | self.partition
        return 1 << 28 | self.disk << 8 | self.partition


_LIMITS: Final = {Bus.XVD: ((1 << 20) - 1, 255), Bus.HD: (3, 63), Bus.SD: (15, 15)}
_NAME: Final = re.compile(r"(xvd|hd|sd)([a-z]{1,5})([1-9][0-9]{0,3})?")
_NUMBERED: Final = re.compile(r"d(0|[1-9][0-9]{0,7})p(0|[1-9][0-9]{0,3})")


def virtual_device(name: str) -> VirtualDevice | None:
    """The device called `name` (`xvda`, `hdc2`, `d5p0`), None if there is none."""
    if numbered := _NUMBERED.fullmatch(name):
        return _bounded(Bus.XVD, int(numbered[1]), int(numbered[2]))
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    disk = 0
    for letter in match[2]:
        disk = disk * 26 + ord(letter) - ord("a") + 1
    return _bounded(Bus(match[1]), disk - 1, int(match[3] or 0))


def _bounded(bus: Bus, disk: int, partition: int) -> VirtualDevice | None:
    disk_max, partition_max = _LIMITS[bus]
    within = disk <= disk_max and partition <= partition_max
    return VirtualDevice(bus, disk, partition) if within else None
