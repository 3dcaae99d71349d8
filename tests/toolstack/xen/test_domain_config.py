"""What xl is given: the operator's own settings, but no kernel, and the ROM in its place."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from handoff.errors import ConfigError
from toolstack.config import GuestConfig, read_config
from toolstack.config.parser import Value, parse
from toolstack.xen.domain_config import domain_config

IDENTITY = UUID("12345678-9abc-def0-1234-56789abcdef0")
ROM = Path("/run/direct-boot.rom")
LEAST = 'type="hvm"\nname="g"\nmemory=256\nkernel="/k"\n'


def settings(text: str) -> dict[str, str]:
    """The settings that xl would read."""
    config, _ = read_config(text, "guest.cfg")
    return {name: str(value) for name, value in parsed(config).items()}


def parsed(config: GuestConfig) -> dict[str, Value]:
    made = parse(domain_config(config, IDENTITY, ROM), "made")
    return {statement.name: statement.value for statement in made.statements}


def test_no_kernel_reaches_libxl() -> None:
    given = settings(LEAST + 'ramdisk="/r"\ncmdline="console=ttyS0"\n')
    assert not {"kernel", "ramdisk", "cmdline", "root", "extra"} & set(given)
    assert given["uuid"] == str(IDENTITY)
    assert (given["type"], given["name"], given["memory"]) == ("hvm", "g", "256")


def test_the_rom_is_the_platform_devices_and_is_tried_first() -> None:
    given = settings(LEAST + 'boot="cd"\nxen_platform_pci=0\n')
    assert given["device_model_args_hvm"] == (
        "[-global, xen-platform.romfile=/run/direct-boot.rom]"
    )
    assert (given["boot"], given["xen_platform_pci"]) == ("n", "1")


def test_arguments_for_qemu_stay_in_front_of_ours() -> None:
    given = settings(LEAST + 'device_model_args_hvm=["-d", "int"]\n')
    assert given["device_model_args_hvm"].startswith("[-d, int, -global, ")


def test_what_follows_the_end_of_the_guest_is_decided_here() -> None:
    given = settings(LEAST + 'on_crash="restart"\non_poweroff="destroy"\n')
    ends = {given[f"on_{end}"] for end in ("poweroff", "reboot", "crash", "watchdog")}
    assert ends == {"preserve"}


def test_settings_that_nothing_here_reads_are_passed_on_as_they_are() -> None:
    text = 'vcpus=2\nvif=["mac=00:16:3e:00:00:01", "bridge=xenbr0"]\nvga="none"\nt="a\\"b\\\\c"\n'
    given = settings(LEAST + text)
    assert given["vcpus"] == "2"
    assert given["vif"] == "[mac=00:16:3e:00:00:01, bridge=xenbr0]"
    assert given["vga"] == "none"
    assert given["t"] == 'a"b\\c'


def test_firmware_of_the_operators_own_is_still_what_libxl_loads() -> None:
    given = settings(LEAST + 'firmware_override="/hvmloader"\nbios_path_override="/bios.bin"\n')
    assert (given["firmware_override"], given["bios_path_override"]) == ("/hvmloader", "/bios.bin")


def test_the_first_serial_port_is_ours_and_the_others_are_not() -> None:
    assert settings(LEAST)["serial"] == "[pty]"
    given = settings(LEAST + 'serial=["file:/tmp/x", "null"]\n')
    assert given["serial"] == "[pty, null]"


def test_what_only_a_backend_reads_of_a_disk_is_passed_on() -> None:
    given = settings(LEAST + 'disk=["/d,raw,hda,w,discard,backendtype=qdisk"]\n')
    assert given["disk"] == ("[vdev=hda,access=w,discard,backendtype=qdisk,format=raw,target=/d]")


def test_disks_keep_what_they_are() -> None:
    given = settings(LEAST + 'disk=["/i.qcow2,qcow2,xvda,w", ",,hdc,cdrom", "/d,raw,sda,r"]\n')
    assert given["disk"] == (
        "[vdev=xvda,access=w,format=qcow2,target=/i.qcow2, vdev=hdc,access=r,devtype=cdrom, "
        "vdev=sda,access=r,format=raw,target=/d]"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('type="hvm"\nname="g"\nmemory=256\n', r"kernel: is missing.*`xl create` boots"),
        (LEAST + 'device_model_args_hvm="-d int"\n', r"device_model_args_hvm: .*list of strings"),
    ],
)
def test_what_cannot_be_handed_over_is_refused_before_anything_is_built(
    text: str, told: str
) -> None:
    config, _ = read_config(text, "guest.cfg")
    with pytest.raises(ConfigError, match=told):
        domain_config(config, IDENTITY, ROM)
