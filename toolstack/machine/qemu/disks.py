"""The guest's disks as QEMU's arguments.

The disk is opened by the toolstack, with the operator's rights, and comes to QEMU as a
descriptor: QEMU itself may open next to nothing. The bus follows the name, as in
xl-disk-configuration(5): `hd*` is IDE, `sd*` SCSI, `xvd*` and `vd*` paravirtual, which is
virtio here (there is no Xen under it), so a guest sees `xvda` as /dev/vda.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from handoff.errors import MachineError
from toolstack.machine.port import Disk

_NAME = re.compile(r"(hd|sd|xvd|vd)([a-z])")
_IDE_DRIVES = 4
_SCSI_TARGETS = 7
"""lsi53c895a has eight, one of which is the controller itself."""
_FORMATS = frozenset({"raw", "qcow2"})

SCSI_CONTROLLER = ("-device", "lsi53c895a,id=scsi")


@dataclass(frozen=True, slots=True)
class OpenDisk:
    disk: Disk
    fd: int
    """open for reading, and for writing unless the disk is read-only"""


def arguments(disks: tuple[OpenDisk, ...], *, bootable: bool = False) -> tuple[str, ...]:
    """Every descriptor, block node and device.

    bootable: firmware may boot from them, in the order of their boot_index.
    Raises: MachineError naming the disk.
    """
    words: list[str] = []
    if any(entry.disk.device.startswith("sd") for entry in disks):
        words += SCSI_CONTROLLER
    for number, entry in enumerate(disks):
        disk, node = entry.disk, f"disk{number}"
        if disk.format not in _FORMATS:
            raise MachineError(f"disk {disk.device} has format {disk.format!r}: use raw or qcow2")
        words += ("-add-fd", f"fd={entry.fd},set={number},opaque={node}")
        words += ("-blockdev", json.dumps(_block_node(disk, node, number)))
        index = disk.boot_index if bootable else None
        boot = "" if index is None else f",bootindex={index}"
        words += ("-device", f"{_device(disk)},drive={node}{boot}")
    return tuple(words)


def _block_node(disk: Disk, node: str, fd_set: int) -> dict[str, object]:
    read_only = disk.read_only or disk.cdrom
    file = {"driver": "file", "filename": f"/dev/fdset/{fd_set}", "read-only": read_only}
    return {"driver": disk.format, "node-name": node, "read-only": read_only, "file": file}


def _device(disk: Disk) -> str:
    match = _NAME.fullmatch(disk.device)
    if match is None:
        raise MachineError(
            f"disk {disk.device!r} has no name this machine knows: use hda-hdd, sda-sdg, xvda-xvdz"
        )
    bus, index = match[1], ord(match[2]) - ord("a")
    if bus == "sd":
        if index >= _SCSI_TARGETS:
            raise MachineError(f"disk {disk.device}: the SCSI controller ends at sdg")
        return f"{'scsi-cd' if disk.cdrom else 'scsi-hd'},bus=scsi.0,scsi-id={index}"
    if bus == "hd" or disk.cdrom:
        return _ide_device(disk, index)
    return "virtio-blk-pci"


def _ide_device(disk: Disk, index: int) -> str:
    if index >= _IDE_DRIVES:
        raise MachineError(f"disk {disk.device}: a PC has four IDE drives, the last is hdd")
    if disk.read_only and not disk.cdrom:
        raise MachineError(
            f"disk {disk.device} is read-only, and an IDE hard disk cannot be: use xvda, or a cdrom"
        )
    kind = "ide-cd" if disk.cdrom else "ide-hd"
    return f"{kind},bus=ide.{index // 2},unit={index % 2}"
