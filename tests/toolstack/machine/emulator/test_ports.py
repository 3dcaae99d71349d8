"""The I/O port space."""

import pytest

from toolstack.machine.emulator.ports import PortBus


class Recorder:
    def __init__(self, value: int = 0) -> None:
        self.value = value
        self.written: list[tuple[int, int, int]] = []

    def read(self, port: int, size: int) -> int:
        return self.value

    def write(self, port: int, size: int, value: int) -> None:
        self.written.append((port, size, value))


@pytest.mark.parametrize(("size", "ones"), [(1, 0xFF), (2, 0xFFFF), (4, 0xFFFFFFFF)])
def test_a_port_without_a_device_reads_all_ones(size: int, ones: int) -> None:
    bus = PortBus()
    bus.write(0x1234, size, 0)
    assert bus.read(0x1234, size) == ones


def test_a_device_gets_the_accesses_of_its_ports_only() -> None:
    bus, device = PortBus(), Recorder(0x1122)
    bus.claim(range(0x510, 0x512), device)
    bus.write(0x50F, 1, 1)
    bus.write(0x510, 2, 0x12345)
    bus.write(0x511, 1, 3)
    bus.write(0x512, 1, 4)
    assert device.written == [(0x510, 2, 0x2345), (0x511, 1, 3)]
    assert bus.read(0x511, 1) == 0x22


def test_a_port_has_one_device() -> None:
    bus = PortBus()
    bus.claim(range(0x3F8, 0x400), Recorder())
    with pytest.raises(ValueError, match="0x3ff"):
        bus.claim(range(0x3FF, 0x401), Recorder())
