"""The argument list as literal text, written from libxl's sources."""

from __future__ import annotations

from uuid import UUID

import pytest

from toolstack.config import GuestConfig
from toolstack.config.disk import parse_disk
from toolstack.domain_tree import dm_arguments, hvm_domain
from xenstore_sim.wire.names import DomId

CONFIG = GuestConfig(
    name="web",
    memory_mib=256,
    kernel="/boot/vmlinuz",
    serial=("pty",),
    disks=(parse_disk("/dev/vg/root,,xvda"), parse_disk(",,hdc:cdrom")),
)
GUEST = hvm_domain(CONFIG, DomId(5), UUID(int=1), 0.0)


def test_the_arguments_are_libxls_without_kernel_initrd_and_append() -> None:
    assert " ".join(dm_arguments(CONFIG, GUEST, ("-extra", "x"))) == (
        "-xen-domid 5 -no-shutdown -nodefaults -no-user-config -name web -display none "
        "-serial /dev/hvc3 -boot order=cda -net none -extra x "
        "-machine xenfv,suppress-vmdesc=on -m 256 "
        "-drive file=/dev/xvda,if=ide,index=0,media=disk,format=host_device,cache=writeback "
        "-drive if=none,readonly=on,id=ide-5632 "
        "-device ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0"
    )


@pytest.mark.parametrize(
    ("disk", "arguments"),
    [
        (
            "/a,,sdb,r",
            "-drive file=/dev/xvdb,id=scsi0-hd1,format=host_device,"
            "if=none,readonly=on,cache=writeback -device scsi-hd,drive=scsi0-hd1,scsi-id=1",
        ),
        (
            "/a,,hdd,cdrom",
            "-drive if=none,readonly=on,id=ide-5696,file=/dev/xvdd,format=host_device "
            "-device ide-cd,id=ide-5696,drive=ide-5696,bus=ide.1,unit=1",
        ),
        ("/a,,xvde", ""),
        (
            "/a,,sda,cdrom",
            "-drive if=none,readonly=on,id=ide-2048,file=/dev/xvda,format=host_device "
            "-device ide-cd,id=ide-2048,drive=ide-2048,bus=ide.0,unit=0",
        ),
    ],
)
def test_a_disk_is_emulated_as_its_name_asks(disk: str, arguments: str) -> None:
    config = GuestConfig(name="g", memory_mib=64, disks=(parse_disk(disk),))
    words = dm_arguments(config, GUEST)
    assert " ".join(words[words.index("-m") + 2 :]) == arguments
    assert ("lsi53c895a" in words) == (disk == "/a,,sdb,r")


def test_serial_ports_are_the_consoles_behind_the_special_ones() -> None:
    config = GuestConfig(name="g", memory_mib=64, serial=("pty", "stdio"))
    words = dm_arguments(config, GUEST)
    assert [words[at + 1] for at, word in enumerate(words) if word == "-serial"] == [
        "/dev/hvc3",
        "/dev/hvc4",
    ]
