"""The arguments libxl writes for a device model in a stub domain.

Where libxl would add -kernel, -initrd and -append with names of dom0's files, which do not
exist in the stub domain, nothing stands: the handoff carries the images instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolstack.config.disk import DiskFormat, DiskSpec
from toolstack.config.guest import EMULATED_DISKS_MAX, GuestConfig
from toolstack.config.vdev import Bus
from toolstack.domain_tree.domain import NewDomain
from toolstack.domain_tree.stubdomain import SERIAL_CONSOLE

STUBDOM_DISKS_MAX = 26
"""A stub domain sees its disks as /dev/xvda to /dev/xvdz."""


def dm_arguments(
    config: GuestConfig, guest: NewDomain, extra: Sequence[str] = ()
) -> tuple[str, ...]:
    """The argument list without the program's name.

    extra: our own arguments, where libxl puts `device_model_args`.
    """
    return (
        *("-xen-domid", str(guest.domid), "-no-shutdown", "-nodefaults", "-no-user-config"),
        *("-name", guest.name, "-display", "none"),
        *(("-device", "lsi53c895a") if any(map(_is_scsi, config.disks)) else ()),
        *_serial_ports(len(config.serial)),
        *("-boot", f"order={config.boot}", "-net", "none"),
        *extra,
        *("-machine", "xenfv,suppress-vmdesc=on", "-m", str(_ram_mib(guest))),
        *(word for disk in config.disks for word in _drive(disk)),
    )


def _ram_mib(guest: NewDomain) -> int:
    return (guest.max_kib - guest.video_kib) // 1024


def _serial_ports(count: int) -> Iterator[str]:
    for port in range(count):
        yield from ("-serial", f"/dev/hvc{SERIAL_CONSOLE + port}")


def _is_scsi(disk: DiskSpec) -> bool:
    return disk.device.bus is Bus.SD and not disk.cdrom


def _drive(disk: DiskSpec) -> Iterator[str]:
    """How QEMU emulates one disk; nothing for a disk that only PV drivers see."""
    number = disk.device.disk
    if number >= (STUBDOM_DISKS_MAX if _is_scsi(disk) else EMULATED_DISKS_MAX):
        return
    file = f"/dev/xvd{chr(ord('a') + number)}"
    if disk.cdrom:
        drive = f"ide-{disk.device.number}"
        medium = "" if disk.format is DiskFormat.EMPTY else f",file={file},format=host_device"
        yield from ("-drive", f"if=none,readonly=on,id={drive}{medium}")
        unit = f"bus=ide.{number // 2},unit={number % 2}"
        yield from ("-device", f"ide-cd,id={drive},drive={drive},{unit}")
    elif _is_scsi(disk):
        drive, read_only = f"scsi0-hd{number}", "on" if disk.read_only else "off"
        flags = f"if=none,readonly={read_only},cache=writeback"
        yield from ("-drive", f"file={file},id={drive},format=host_device,{flags}")
        yield from ("-device", f"scsi-hd,drive={drive},scsi-id={number}")
    else:
        place = f"if=ide,index={number},media=disk"
        yield from ("-drive", f"file={file},{place},format=host_device,cache=writeback")
