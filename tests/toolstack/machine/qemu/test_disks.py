from __future__ import annotations

import json
from pathlib import Path

import pytest

from handoff.errors import MachineError
from toolstack.machine.port import Disk
from toolstack.machine.qemu.disks import OpenDisk, arguments


def device_of(name: str, *, read_only: bool = False, cdrom: bool = False) -> str:
    disk = Disk(Path("/image"), "raw", name, read_only, cdrom)
    return arguments((OpenDisk(disk, 9),))[-1]


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("hda", "ide-hd,bus=ide.0,unit=0,drive=disk0"),
        ("hdb", "ide-hd,bus=ide.0,unit=1,drive=disk0"),
        ("hdc", "ide-hd,bus=ide.1,unit=0,drive=disk0"),
        ("hdd", "ide-hd,bus=ide.1,unit=1,drive=disk0"),
        ("sda", "scsi-hd,bus=scsi.0,scsi-id=0,drive=disk0"),
        ("sdg", "scsi-hd,bus=scsi.0,scsi-id=6,drive=disk0"),
        ("xvda", "virtio-blk-pci,drive=disk0"),
        ("vdb", "virtio-blk-pci,drive=disk0"),
    ],
)
def test_bus_follows_the_name(name: str, device: str) -> None:
    assert device_of(name) == device


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("hdc", "ide-cd,bus=ide.1,unit=0,drive=disk0"),
        ("sdb", "scsi-cd,bus=scsi.0,scsi-id=1,drive=disk0"),
        ("xvdc", "ide-cd,bus=ide.1,unit=0,drive=disk0"),
    ],
)
def test_cdrom_is_an_emulated_drive(name: str, device: str) -> None:
    assert device_of(name, cdrom=True) == device


def test_qemu_gets_descriptors_and_no_path() -> None:
    disks = (
        OpenDisk(Disk(Path("/secret/a"), "raw", "hda", read_only=False), 7),
        OpenDisk(Disk(Path("/secret/b"), "qcow2", "xvdb", read_only=True), 8),
    )
    words = arguments(disks)
    assert "secret" not in " ".join(words)
    assert words[:2] == ("-add-fd", "fd=7,set=0,opaque=disk0")
    nodes = [json.loads(words[at + 1]) for at, word in enumerate(words) if word == "-blockdev"]
    assert nodes == [
        {
            "driver": "raw",
            "node-name": "disk0",
            "read-only": False,
            "file": {"driver": "file", "filename": "/dev/fdset/0", "read-only": False},
        },
        {
            "driver": "qcow2",
            "node-name": "disk1",
            "read-only": True,
            "file": {"driver": "file", "filename": "/dev/fdset/1", "read-only": True},
        },
    ]


def test_scsi_disks_bring_one_controller() -> None:
    disks = tuple(
        OpenDisk(Disk(Path("/image"), "raw", name, read_only=False), 7) for name in ("sda", "sdb")
    )
    assert arguments(disks).count("lsi53c895a,id=scsi") == 1


def test_no_disks_no_arguments() -> None:
    assert arguments(()) == ()


@pytest.mark.parametrize("name", ["hde", "xvde", "sdh", "fda", "hda1", "", "hda,x"])
def test_drive_that_cannot_be_is_named(name: str) -> None:
    with pytest.raises(MachineError, match=f"disk '?{name}"):
        device_of(name, cdrom=True)


def test_read_only_ide_disk_is_refused_with_the_way_out() -> None:
    with pytest.raises(MachineError, match=r"disk hda is read-only.*use xvda"):
        device_of("hda", read_only=True)


def test_unknown_format_is_refused() -> None:
    disk = Disk(Path("/image"), "vmdk", "hda", read_only=False)
    with pytest.raises(MachineError, match="disk hda has format 'vmdk': use raw or qcow2"):
        arguments((OpenDisk(disk, 9),))
