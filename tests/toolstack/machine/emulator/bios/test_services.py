"""Equipment, memory size, disk, keyboard, time of day."""

import pytest

from handoff.addresses import MIB, Gpa
from handoff.platforms import memory_map
from tests.toolstack.machine.emulator.bios.calls import Caller
from toolstack.machine.emulator.bios import layout
from toolstack.machine.emulator.bios.services import Service, service_table
from toolstack.machine.emulator.bios.system import SystemServices
from toolstack.machine.emulator.bios.video import TextLog
from toolstack.machine.emulator.chipset import SystemControl
from toolstack.machine.emulator.stop import GuestStopped, StopReason

NOW = 1_000_000_000.0


def service(vector: int) -> Service:
    system = SystemServices(memory_map(64 * MIB, Gpa(0xF0000000)), SystemControl())
    return service_table(system, TextLog(lambda _line: None), lambda: NOW)[vector]


def caller_with_bda(flags: int = 0x0002) -> Caller:
    caller = Caller(flags)
    caller.cpu.write(layout.BDA, layout.bios_data_area())
    return caller


def test_base_memory_ends_at_the_ebda() -> None:
    caller = caller_with_bda()
    caller.call(service(0x12))
    assert caller.get("ax") == 639


def test_base_memory_that_a_rom_has_lowered_is_told() -> None:
    caller = caller_with_bda()
    caller.cpu.write(layout.BDA_BASE_MEMORY_KIB, (600).to_bytes(2, "little"))
    caller.call(service(0x12))
    assert caller.get("ax") == 600


def test_one_serial_port_is_installed() -> None:
    caller = caller_with_bda()
    caller.call(service(0x11))
    assert caller.get("ax") >> 9 & 7 == 1


@pytest.mark.parametrize("function", [0x00, 0x02, 0x08, 0x15, 0x41, 0x42, 0x48])
@pytest.mark.parametrize("drive", [0x00, 0x80])
def test_there_is_no_disk(function: int, drive: int) -> None:
    caller = caller_with_bda()
    caller.call(service(0x13), eax=function << 8, edx=drive)
    assert (caller.carry, caller.get("ah")) == (True, 1)
    assert caller.cpu.read(layout.BDA_DISK_STATUS, 1) == b"\x01"


def test_no_key_is_waiting() -> None:
    caller = caller_with_bda()
    caller.call(service(0x16), eax=0x0100)
    assert caller.zero
    caller.call(service(0x16), eax=0x0200)
    assert caller.get("al") == 0


@pytest.mark.parametrize("function", [0x00, 0x10])
def test_a_guest_that_waits_for_a_key_ends_by_name(function: int) -> None:
    with pytest.raises(GuestStopped, match="waits for a key") as stopped:
        caller_with_bda().call(service(0x16), eax=function << 8)
    assert stopped.value.reason is StopReason.UNFIT


def test_time_of_day_is_ticks_since_midnight_and_the_date_is_bcd() -> None:
    caller = caller_with_bda(flags=0x0003)
    caller.call(service(0x1A), eax=0x0000)
    ticks = caller.get("cx") << 16 | caller.get("dx")
    assert ticks == int((1 * 3600 + 46 * 60 + 40) * 0x1800B0 / 86400)
    caller.call(service(0x1A), eax=0x0200)
    assert (caller.get("cx"), caller.get("dh")) == (0x0146, 0x40)
    caller.call(service(0x1A), eax=0x0400)
    assert (caller.get("cx"), caller.get("dx")) == (0x2001, 0x0909)
    assert not caller.carry


def test_there_is_no_pci_bios() -> None:
    caller = caller_with_bda()
    caller.call(service(0x1A), eax=0xB101, edx=0)
    assert (caller.carry, caller.get("edx")) == (True, 0)
