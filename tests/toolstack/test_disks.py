from __future__ import annotations

from pathlib import Path

import pytest

from handoff.errors import ConfigError
from toolstack.config import GuestConfig
from toolstack.config.disk import DiskFormat, parse_disk
from toolstack.disks import machine_disks
from toolstack.machine.port import Disk


def _guest(*disks: str) -> GuestConfig:
    return GuestConfig(name="d", memory_mib=64, disks=tuple(map(parse_disk, disks)))


def test_each_disk_with_a_medium_goes_to_the_machine_as_it_was_named() -> None:
    assert machine_disks(_guest("/a.img,raw,xvda,w", "/b.qcow2,qcow2,hdb,w", "/c,,hdc:cdrom")) == (
        Disk(Path("/a.img"), "raw", "xvda", read_only=False, boot_index=0),
        Disk(Path("/b.qcow2"), "qcow2", "hdb", read_only=False, boot_index=1),
        Disk(Path("/c"), "raw", "hdc", read_only=True, cdrom=True, boot_index=2),
    )


def test_an_empty_drive_has_nothing_for_the_machine() -> None:
    assert machine_disks(_guest(",,hdc:cdrom")) == ()


@pytest.mark.parametrize("format", [DiskFormat.QCOW, DiskFormat.VHD])
def test_a_format_that_no_machine_takes_is_refused_with_the_tool_that_converts(
    format: DiskFormat,
) -> None:
    with pytest.raises(ConfigError, match=f"disk xvda: format {format.value} .*qemu-img convert"):
        machine_disks(_guest(f"/a,{format.value},xvda,w"))
