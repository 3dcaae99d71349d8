"""The disks of a configuration as the machine takes them."""

from __future__ import annotations

from pathlib import Path

from handoff.errors import ConfigError
from toolstack.config.disk import DiskFormat, DiskSpec
from toolstack.config.guest import GuestConfig
from toolstack.machine.port import Disk

_FORMATS = {DiskFormat.RAW: "raw", DiskFormat.QCOW2: "qcow2"}


def machine_disks(config: GuestConfig) -> tuple[Disk, ...]:
    """Every disk with a medium, by `boot=` the numbers in which firmware tries them.

    Raises: ConfigError for a format no machine here takes.
    """
    disks = []
    order = [spec.vdev for letter in config.boot for spec in config.disks if _is(spec, letter)]
    for spec in config.disks:
        if spec.target is None:
            continue
        if spec.format not in _FORMATS:
            raise ConfigError(
                f"disk {spec.vdev}: format {spec.format.value} is not supported here: "
                "convert it to raw or qcow2 (qemu-img convert)"
            )
        disks.append(
            Disk(
                Path(spec.target),
                _FORMATS[spec.format],
                spec.vdev,
                spec.read_only,
                spec.cdrom,
                order.index(spec.vdev) if spec.vdev in order else None,
            )
        )
    return tuple(disks)


def _is(spec: DiskSpec, letter: str) -> bool:
    """Whether a letter of `boot=` stands for this disk."""
    return letter == ("d" if spec.cdrom else "c")
