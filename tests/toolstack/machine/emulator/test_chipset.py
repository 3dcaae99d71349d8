"""A20, reset, power-off and the clock chips."""

import pytest

from handoff.addresses import MIB
from toolstack.machine.emulator.chipset import bcd, claim_chipset
from toolstack.machine.emulator.ports import PortBus
from toolstack.machine.emulator.stop import GuestStopped, StopReason

# 2001-09-09 01:46:40 UTC, a Sunday.
NOW = 1_000_000_000.0


@pytest.fixture
def bus() -> PortBus:
    bus = PortBus()
    claim_chipset(bus, lambda: NOW, 512 * MIB)
    return bus


@pytest.mark.parametrize(
    ("port", "size", "value", "reason"),
    [
        (0x604, 2, 0x2000, StopReason.POWERED_OFF),
        (0x604, 2, 0x3C00 | 0x2000, StopReason.POWERED_OFF),
        (0x64, 1, 0xFE, StopReason.RESET),
        (0xCF9, 1, 0x06, StopReason.RESET),
        (0x92, 1, 0x03, StopReason.RESET),
    ],
)
def test_a_guest_ends_itself_through_these_ports(
    bus: PortBus, port: int, size: int, value: int, reason: StopReason
) -> None:
    with pytest.raises(GuestStopped) as stopped:
        bus.write(port, size, value)
    assert stopped.value.reason is reason


@pytest.mark.parametrize(
    ("port", "size", "value"), [(0x604, 2, 0x1C00), (0x64, 1, 0xFF), (0xCF9, 1, 0x02)]
)
def test_these_values_do_not_end_it(bus: PortBus, port: int, size: int, value: int) -> None:
    bus.write(port, size, value)


def test_a20_is_one_gate_behind_two_ports() -> None:
    bus = PortBus()
    control = claim_chipset(bus, lambda: NOW, 512 * MIB).control
    assert bus.read(0x92, 1) == 0x02
    bus.write(0x64, 1, 0xD1)
    bus.write(0x60, 1, 0xDD)
    assert (control.a20, bus.read(0x92, 1)) == (False, 0x00)
    bus.write(0x92, 1, 0x02)
    bus.write(0x64, 1, 0xD0)
    assert bus.read(0x64, 1) & 1
    assert bus.read(0x60, 1) & 0x02


def test_reset_by_the_output_port_is_a_reset(bus: PortBus) -> None:
    bus.write(0x64, 1, 0xD1)
    with pytest.raises(GuestStopped) as stopped:
        bus.write(0x60, 1, 0xFE)
    assert stopped.value.reason is StopReason.RESET


def test_the_keyboard_controller_passes_its_self_test(bus: PortBus) -> None:
    assert bus.read(0x64, 1) & 0x03 == 0
    bus.write(0x64, 1, 0xAA)
    assert bus.read(0x60, 1) == 0x55


@pytest.mark.parametrize(
    ("index", "value"),
    [
        *((0x00, 0x40), (0x02, 0x46), (0x04, 0x01), (0x06, 0x01), (0x07, 0x09), (0x08, 0x09)),
        *((0x09, 0x01), (0x32, 0x20), (0x0A, 0x26), (0x0B, 0x02), (0x0D, 0x80)),
        *((0x15, 0x80), (0x16, 0x02), (0x17, 0xFF), (0x18, 0xFF), (0x34, 0x00), (0x35, 0x1F)),
    ],
)
def test_the_clock_chip_holds_date_and_memory_sizes(bus: PortBus, index: int, value: int) -> None:
    bus.write(0x70, 1, 0x80 | index)
    assert bus.read(0x71, 1) == value


def test_a_delay_loop_on_the_timer_or_the_refresh_bit_ends(bus: PortBus) -> None:
    assert bus.read(0x61, 1) ^ bus.read(0x61, 1) == 0x30
    counts = {bus.read(0x40, 1) | bus.read(0x40, 1) << 8 for _ in range(4)}
    assert len(counts) == 4


def test_interrupt_masks_and_post_codes_are_kept(bus: PortBus) -> None:
    for port in (0x21, 0xA1, 0x80):
        bus.write(port, 1, 0xFB)
        assert bus.read(port, 1) == 0xFB


@pytest.mark.parametrize(("value", "digits"), [(0, 0x00), (9, 0x09), (10, 0x10), (59, 0x59)])
def test_bcd(value: int, digits: int) -> None:
    assert bcd(value) == digits
