"""Devices: a frontend's nodes, a backend's nodes in dom0, and dom0's own copy.

Each device is one transaction, as libxl adds it. Every backend here is dom0's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from handoff.keys import StoreWrite, child, read_by
from toolstack.config.disk import DiskFormat, DiskSpec
from toolstack.domain_tree.domain import Ring, libxl_path
from toolstack.domain_tree.steps import MakeDirectory, NodeAction, Remove, Transaction
from xenstore_sim.wire.names import DOM0, AbsolutePath, DomId, home

INITIALISING: Final = "1"
"""XenbusStateInitialising."""
CONSOLE_LIMIT_BYTES: Final = 1048576

_FORMAT_WORDS: Final = {
    DiskFormat.RAW: "aio",
    DiskFormat.EMPTY: "aio",
    DiskFormat.QCOW: "qcow",
    DiskFormat.QCOW2: "qcow2",
    DiskFormat.VHD: "vhd",
    DiskFormat.QED: "qed",
}


@dataclass(frozen=True, slots=True)
class _Device:
    kind: str
    """name below `device/` and `/libxl/N/device/`"""
    backend_kind: str
    domid: DomId
    number: int
    back: Mapping[str, str]
    front: Mapping[str, str]
    front_read_only: Mapping[str, str]
    """nodes that the domain may read only"""

    @property
    def _primary_console(self) -> bool:
        return self.kind == "console" and self.number == 0

    @property
    def frontend(self) -> AbsolutePath:
        if self._primary_console:
            return child(home(self.domid), "console")
        return child(home(self.domid), f"device/{self.kind}/{self.number}")

    @property
    def backend(self) -> AbsolutePath:
        return child(home(DOM0), f"backend/{self.backend_kind}/{self.domid}/{self.number}")

    def added(self) -> Transaction:
        """The writes that connect the pair."""
        libxl = child(libxl_path(self.domid), f"device/{self.kind}/{self.number}")
        mine, theirs = read_by(DOM0, owner=self.domid), read_by(self.domid)
        actions: list[NodeAction] = [
            Remove(libxl),
            StoreWrite(child(libxl, "frontend"), self.frontend.encode("ascii")),
            StoreWrite(child(libxl, "backend"), self.backend.encode("ascii")),
            Remove(self.frontend),
            MakeDirectory(self.frontend, theirs if self._primary_console else mine),
            StoreWrite(child(self.frontend, "backend"), self.backend.encode("ascii")),
        ]
        for values, perms in ((self.front, mine), (self.front_read_only, theirs)):
            for name, value in values.items():
                actions.append(StoreWrite(child(self.frontend, name), _bytes(value), perms))
        actions += [
            Remove(self.backend),
            MakeDirectory(self.backend, theirs),
            StoreWrite(child(self.backend, "frontend"), self.frontend.encode("ascii")),
        ]
        for directory in (self.backend, libxl):
            for name, value in self.back.items():
                actions.append(StoreWrite(child(directory, name), _bytes(value)))
        return Transaction(tuple(actions))


def disk_device(domid: DomId, disk: DiskSpec) -> Transaction:
    """Attaches `disk` to the domain, served by a qdisk backend."""
    what = "cdrom" if disk.cdrom else "disk"
    return _Device(
        kind="vbd",
        backend_kind="qdisk",
        domid=domid,
        number=disk.device.number,
        back={
            "params": f"{_FORMAT_WORDS[disk.format]}:{disk.target or ''}",
            "frontend-id": str(domid),
            "online": "1",
            "removable": "1" if disk.cdrom else "0",
            "bootable": "1",
            "state": INITIALISING,
            "dev": disk.vdev,
            "type": "qdisk",
            "mode": "r" if disk.read_only else "w",
            "device-type": what,
            "discard-enable": "0" if disk.read_only else "1",
            "specification": "xen",
        },
        front={
            "backend-id": str(DOM0),
            "state": INITIALISING,
            "virtual-device": str(disk.device.number),
            "device-type": what,
            "trusted": "1",
        },
        front_read_only={},
    ).added()


def console_device(
    domid: DomId, number: int, kind: str, output: str | None, ring: Ring | None
) -> Transaction:
    """Gives the domain console `number`.

    kind: who serves it, `xenconsoled` or `ioemu`. output: where its text goes, None: nowhere.
    ring: of console 0, which has no state of its own.
    """
    front = {"backend-id": str(DOM0)}
    shown = {"limit": str(CONSOLE_LIMIT_BYTES), "type": kind}
    if output is not None:
        shown["output"] = output
    shown["tty"] = ""
    if ring is None:
        front |= {"state": INITIALISING, "protocol": "vt100"}
    else:
        shown |= {"port": str(ring.port), "ring-ref": str(ring.gfn)}
    return _Device(
        kind="console",
        backend_kind="console",
        domid=domid,
        number=number,
        back={
            "frontend-id": str(domid),
            "online": "1",
            "state": INITIALISING,
            "protocol": "vt100",
        },
        front=front,
        front_read_only=shown,
    ).added()


def _bytes(value: str) -> bytes:
    """A value that may hold a file's name."""
    return value.encode("utf-8", "surrogateescape")
