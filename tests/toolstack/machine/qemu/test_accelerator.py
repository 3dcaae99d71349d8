from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolstack.machine.qemu.accelerator import (
    Accelerator,
    has_hardware_virtualization,
    kvm_group,
    kvm_is_usable,
)

TCG = ("-accel", "tcg,thread=multi")
CPUINFO = "processor\t: 0\nvmx flags\t: vnmi ept\nflags\t\t: fpu {} sse2\n\nprocessor\t: 1\n"


@pytest.mark.parametrize(
    ("accelerator", "kvm_usable", "arguments"),
    [
        (Accelerator.TCG, True, TCG),
        (Accelerator.KVM, False, ("-accel", "kvm")),
        (Accelerator.AUTO, False, TCG),
        (Accelerator.AUTO, True, ("-accel", "kvm", *TCG)),
    ],
)
def test_auto_prefers_kvm_where_it_is_usable(
    accelerator: Accelerator, kvm_usable: bool, arguments: tuple[str, ...]
) -> None:
    assert accelerator.arguments(kvm_usable) == arguments


@pytest.mark.parametrize(
    ("flag", "there"), [("vmx", True), ("svm", True), ("hypervisor", False), ("svme vmxx", False)]
)
def test_cpu_flags_tell_hardware_virtualization(flag: str, there: bool) -> None:
    assert has_hardware_virtualization(CPUINFO.format(flag)) is there


def test_cpuinfo_without_flags_tells_none() -> None:
    assert not has_hardware_virtualization("vendor_id : vmx\n")


def test_kvm_without_hardware_virtualization_is_not_used(tmp_path: Path) -> None:
    device, cpuinfo = tmp_path / "kvm", tmp_path / "cpuinfo"
    device.touch()
    cpuinfo.write_text(CPUINFO.format("hypervisor"))
    assert not kvm_is_usable(device, cpuinfo)
    cpuinfo.write_text(CPUINFO.format("vmx"))
    assert kvm_is_usable(device, cpuinfo)


def test_kvm_that_is_not_there_is_not_used(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    assert not kvm_is_usable(tmp_path / "kvm", cpuinfo)
    cpuinfo.write_text(CPUINFO.format("vmx"))
    assert not kvm_is_usable(tmp_path / "kvm", cpuinfo)
    assert kvm_group(tmp_path / "kvm") is None


def test_group_counts_if_it_may_read_and_write(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch()
    device.chmod(0o600)
    assert kvm_group(device) is None
    device.chmod(0o660)
    assert kvm_group(device) == (os.getegid() or None)
