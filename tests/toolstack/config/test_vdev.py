from __future__ import annotations

import pytest

from toolstack.config.vdev import Bus, VirtualDevice, virtual_device

NUMBERS = {
    "xvda": 51712,
    "xvda1": 51713,
    "xvdb": 51728,
    "xvdp": 51952,
    "xvdp15": 51967,
    "xvdq": (1 << 28) | (16 << 8),
    "xvda16": (1 << 28) | 16,
    "xvdaa": (1 << 28) | (26 << 8),
    "hda": 768,
    "hdb": 832,
    "hdc": 5632,
    "hdd3": 5699,
    "sda": 2048,
    "sdb1": 2065,
    "d0p0": 51712,
    "d5p2": 51794,
}


@pytest.mark.parametrize(("name", "number"), NUMBERS.items())
def test_a_name_has_the_number_of_the_interface(name: str, number: int) -> None:
    device = virtual_device(name)
    assert device is not None
    assert device.number == number


def test_a_name_says_bus_disk_and_partition() -> None:
    assert virtual_device("hdc2") == VirtualDevice(Bus.HD, 2, 2)
    assert virtual_device("d7p1") == VirtualDevice(Bus.XVD, 7, 1)


@pytest.mark.parametrize(
    "name",
    [
        *("", "xvd", "hde", "sdq", "hda64", "sda16", "xvda256", "xvda01", "xvda0", "vda", "XVDA"),
        *("xvdA", "51712", "/dev/xvda", "xvda1 ", "d01p0", "d0p256", "d1048576p0", "xvdzzzzzz"),
    ],
)
def test_what_is_no_virtual_device_is_none(name: str) -> None:
    assert virtual_device(name) is None
