from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from handoff.addresses import MIB
from handoff.descriptor import CMDLINE_MAX_BYTES
from handoff.modules import ModuleFile
from handoff.platforms import MEMORY_MIN_BYTES
from toolstack.config.disk import parse_disk
from toolstack.config.errors import SettingRefused
from toolstack.config.guest import MEMORY_MAX_MIB, MEMORY_MIN_MIB, Bios, GuestConfig


def guest(**changes: Any) -> GuestConfig:
    return GuestConfig(**{"name": "g", "memory_mib": 256, "kernel": "/boot/vmlinuz", **changes})


def test_a_guest_is_built_from_plain_values() -> None:
    built = guest(ramdisk="/boot/initrd", cmdline="console=ttyS0")
    assert built.memory_bytes == 256 * MIB
    assert (built.bios, built.disks, built.uuid, built.ignored) == (Bios.SEABIOS, (), None, ())


def test_a_guest_without_kernel_boots_from_its_disk() -> None:
    built = guest(kernel=None, disks=(parse_disk("/a,,hda"),))
    assert built.kernel is None


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"name": ""}, 'name="": is empty'),
        ({"name": "x" * 65}, "has 65 characters, at most 64"),
        ({"name": "a/b"}, "holds a character"),
        ({"name": " a"}, "holds a character"),
        ({"name": "\u00fc"}, "holds a character"),
        ({"name": "17"}, "is a number, which xl commands take for a domid"),
        ({"memory_mib": MEMORY_MIN_MIB - 1}, f'memory="63": is not in 64..{MEMORY_MAX_MIB} MiB'),
        ({"memory_mib": MEMORY_MAX_MIB + 1}, "is not in 64"),
        ({"maxmem_mib": 255}, 'maxmem="255": is not in 256'),
        ({"kernel": ""}, 'kernel="": is empty'),
        ({"ramdisk": ""}, 'ramdisk="": is empty'),
        ({"firmware": ""}, 'firmware="": is empty'),
        ({"kernel": "/a\0b"}, "cannot be a path"),
        ({"kernel": "/" + "a" * 4095}, "cannot be a path: it holds a NUL or more than 4095"),
        ({"kernel": None, "ramdisk": "/i"}, 'ramdisk="/i": direct boot parameter without a ker'),
        ({"kernel": None, "cmdline": ""}, 'cmdline="": direct boot parameter without a kernel'),
        ({"bios": Bios.OVMF}, 'bios="ovmf": cannot start kernel='),
        ({"cmdline": "x" * 4096}, f"has 4096 bytes or a NUL, at most {CMDLINE_MAX_BYTES}"),
        ({"cmdline": "\u00fc" * 2048}, "has 4096 bytes or a NUL"),
        ({"cmdline": "a\0b"}, "has 3 bytes or a NUL"),
        ({"more_modules": (ModuleFile(""),)}, 'ramdisk="": is empty'),
        ({"more_modules": (ModuleFile("/m"),) * 15}, "names 16 images, at most 15 go with a ker"),
        ({"ramdisk_arguments": "a\0"}, "has a NUL, or arguments"),
        ({"ramdisk_arguments": "a" * 4096}, "arguments of up to 4096 bytes"),
        ({"more_modules": (ModuleFile("/m", "a" * 4000),) * 5}, "20260 with all names"),
        ({"serial": ("pty", "")}, 'serial="": names a device in 0 bytes'),
        ({"serial": ("file:/a\0b",)}, "names a device in 9 bytes or with a NUL, must be 1 to 3900"),
        ({"disks": (parse_disk(f"/{'a' * 3900},,xvda"),)}, "names a device in 3901 bytes"),
    ],
)
def test_what_libxl_or_the_handoff_cannot_use_is_refused(
    changes: Mapping[str, object], refusal: str
) -> None:
    with pytest.raises(SettingRefused) as refused:
        guest(**changes)
    assert refusal in str(refused.value)
    assert refused.value.remedy


def test_the_bounds_themselves_are_accepted() -> None:
    assert guest(memory_mib=MEMORY_MIN_MIB).memory_bytes == MEMORY_MIN_BYTES
    assert guest(maxmem_mib=256, cmdline="x" * CMDLINE_MAX_BYTES, name="x" * 64).name


def test_two_disks_are_not_one_device() -> None:
    with pytest.raises(SettingRefused, match='disk="d0p0": is the device xvda'):
        guest(disks=(parse_disk("/a,,xvda"), parse_disk("/b,,d0p0")))


def test_read_only_disks_that_firmware_would_see_are_refused() -> None:
    with pytest.raises(SettingRefused, match="is read-only: qemu-xen has no read-only IDE"):
        guest(disks=(parse_disk("/a,,hda,r"),))
    for spec in ("/a,,sda,r", "/a,,xvde,r", "/a,,hdc,cdrom"):
        assert guest(disks=(parse_disk(spec),)).disks[0].read_only


@pytest.mark.parametrize(
    ("serial", "file"),
    [
        ((), None),
        (("pty",), None),
        (("stdio",), None),
        (("file:/tmp/x",), "/tmp/x"),
        (("pty", "file:/tmp/x"), None),
    ],
)
def test_the_first_serial_port_goes_to_a_file_only_if_it_names_one(
    serial: tuple[str, ...], file: str | None
) -> None:
    assert guest(serial=serial).serial_file == file
