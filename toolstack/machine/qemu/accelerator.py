"""Which accelerator QEMU runs the guest with."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

KVM_DEVICE = Path("/dev/kvm")
CPUINFO = Path("/proc/cpuinfo")


class Accelerator(Enum):
    AUTO = "auto"
    KVM = "kvm"
    TCG = "tcg"

    def arguments(self, kvm_usable: bool) -> tuple[str, ...]:
        """QEMU's -accel options, in order of preference."""
        kvm = ("-accel", "kvm")
        tcg = ("-accel", "tcg,thread=multi")
        match self:
            case Accelerator.KVM:
                return kvm
            case Accelerator.TCG:
                return tcg
            case Accelerator.AUTO:
                # QEMU goes on to the next one where KVM does not initialise.
                return (*kvm, *tcg) if kvm_usable else tcg


def has_hardware_virtualization(cpuinfo: str) -> bool:
    """Whether /proc/cpuinfo shows Intel VT-x or AMD-V.

    A /dev/kvm that opens is not enough: without either it emulates in software, far slower
    than TCG.
    """
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return not {"vmx", "svm"}.isdisjoint(value.split())
    return False


def kvm_group(device: Path = KVM_DEVICE) -> int | None:
    """The group that may use KVM; None if no group may or there is no KVM."""
    try:
        status = device.stat()
    except OSError:
        return None
    return status.st_gid if status.st_mode & 0o060 == 0o060 and status.st_gid != 0 else None


def kvm_is_usable(device: Path = KVM_DEVICE, cpuinfo: Path = CPUINFO) -> bool:
    """Whether a QEMU started by this process can use KVM to advantage."""
    try:
        if not has_hardware_virtualization(cpuinfo.read_text()):
            return False
    except OSError:
        return False
    return os.access(device, os.R_OK | os.W_OK)
