"""The course of the firmware, trap by trap, with no guest code running."""

import struct

import pytest

from handoff.addresses import MIB, Gpa
from handoff.platforms import memory_map
from tests.toolstack.machine.emulator.assembly import pnp_header, with_checksum
from tests.toolstack.machine.emulator.fake_cpu import FakeCpu
from toolstack.machine.emulator.bios import layout
from toolstack.machine.emulator.bios.bios import Bios
from toolstack.machine.emulator.chipset import SystemControl
from toolstack.machine.emulator.cpu import Register
from toolstack.machine.emulator.stop import GuestStopped, StopReason

BEV = 0x100


def rom(bev: int = BEV, blocks: int = 1) -> bytes:
    image = bytearray(blocks * 512)
    image[:4] = bytes((0x55, 0xAA, blocks, 0xCB))
    struct.pack_into("<H", image, 0x1A, 0x40)
    image[0x40:0x60] = pnp_header(bev=bev)
    return with_checksum(bytes(image))


class Machine:
    """A Bios over a FakeCpu."""

    def __init__(self, roms: dict[int, bytes]) -> None:
        self.cpu = FakeCpu()
        self.cpu.memory[:] = b"\xcc" * len(self.cpu.memory)
        self.log: list[str] = []
        e820 = memory_map(64 * MIB, Gpa(0xF0000000))
        self.bios = Bios(self.cpu, e820, SystemControl(), lambda: 0.0, self.log.append)
        self.bios.install()
        for address, image in roms.items():
            self.cpu.write(address, image)

    def power_on(self) -> tuple[int, int]:
        self.bios.trap(layout.POST_TRAP)
        return self.place()

    def come_back(self) -> tuple[int, int]:
        self.bios.trap(layout.ROM_RETURN_TRAP)
        return self.place()

    def place(self) -> tuple[int, int]:
        return self.cpu.get(Register.CS), self.cpu.get(Register.EIP)

    def registers(self, *names: str) -> tuple[int, ...]:
        return tuple(self.cpu.get(Register[name]) for name in names)


def test_init_code_finds_the_registers_seabios_gives() -> None:
    machine = Machine({0xC8000: rom()})
    assert machine.power_on() == (0xC800, 3)
    assert machine.registers("EAX", "EBX", "ECX", "EDX") == (0, 0xFFFF, 0, 0xFFFF)
    assert machine.registers("ES", "EDI", "DS") == (0xF000, 0x6060, 0)
    assert machine.registers("SS", "ESP", "EFLAGS") == (0, 0x6A04, 0x0202)
    assert machine.cpu.read(0xF6060, 4) == b"$PnP"


def test_a_bev_finds_the_registers_seabios_gives() -> None:
    machine = Machine({0xC8000: rom()})
    machine.power_on()
    assert machine.come_back() == (0xC800, BEV)
    assert machine.registers("EAX", "EBX", "ECX", "EDX") == (0xAA55, 0, 0, 0)
    assert machine.registers("ES", "EDI", "DS", "ESI", "EBP") == (0, 0, 0, 0, 0)
    assert machine.registers("SS", "ESP", "EFLAGS") == (0, 0x6F34, 0x0202)


def test_a_roms_return_address_is_the_bioss_own() -> None:
    machine = Machine({0xC8000: rom()})
    machine.power_on()
    offset, segment = struct.unpack("<HH", machine.cpu.read(0x6A04, 4))
    assert (segment << 4) + offset == layout.TRAP_ADDRESSES[layout.ROM_RETURN_TRAP]


def test_low_memory_is_zeroed_and_rom_write_protected_only_before_boot() -> None:
    machine = Machine({0xC8000: rom()})
    machine.power_on()
    assert machine.cpu.read(0x7000, 4) == b"\xcc" * 4
    assert not machine.cpu.is_protected(0xC8000, 512)
    machine.come_back()
    assert machine.cpu.read(0x7000, 0x89000) == bytes(0x89000)
    assert machine.cpu.read(0x6FFF, 1) + machine.cpu.read(0x90000, 1) == b"\xcc\xcc"
    assert all(machine.cpu.is_protected(at, 1) for at in (0xC0000, 0xE7FFF, 0xF0000, 0xFFFFF))
    assert not machine.cpu.is_protected(0xE8000, 0x8000)


def test_every_2_kib_boundary_of_the_window_is_looked_at() -> None:
    places = [0xC0000, 0xC8800, 0xDF800]
    machine = Machine({at: rom() for at in places})
    seen = [machine.power_on()[0] << 4]
    while (place := machine.come_back())[1] == 3:
        seen.append(place[0] << 4)
    assert seen == places


def test_a_rom_off_the_boundary_or_inside_another_is_not_seen() -> None:
    inside = rom(blocks=8)
    inside = with_checksum(inside[:0x800] + rom() + inside[0xA00:])
    machine = Machine({0xC8000: inside, 0xCA200: rom()})
    machine.power_on()
    assert machine.come_back() == (0xC800, BEV)


def test_a_bad_checksum_is_told_and_the_rom_not_run() -> None:
    damaged = bytearray(rom())
    damaged[0x90] ^= 0xFF
    machine = Machine({0xC8000: bytes(damaged), 0xC8800: rom()})
    assert machine.power_on() == (0xC880, 3)
    assert any("0xc8000 has bad checksum" in line for line in machine.log)


def test_a_rom_that_damages_itself_in_init_does_not_boot() -> None:
    machine = Machine({0xC8000: rom()})
    machine.power_on()
    machine.cpu.write(0xC8180, b"\x01")
    with pytest.raises(GuestStopped, match="no option ROM has a BEV"):
        machine.come_back()


def test_a_rom_that_shrinks_in_init_makes_room_for_the_next() -> None:
    machine = Machine({0xC8000: rom(blocks=8), 0xC8800: rom(bev=0x110)})
    machine.power_on()
    machine.cpu.write(0xC8000, rom())
    assert machine.come_back() == (0xC880, 3)


def test_the_next_entry_boots_after_a_return_or_int_18h() -> None:
    machine = Machine({at: rom() for at in (0xC8000, 0xC8800, 0xC9000)})
    machine.power_on()
    machine.come_back()
    machine.come_back()
    assert machine.come_back() == (0xC800, BEV)
    assert machine.come_back() == (0xC880, BEV)
    machine.bios.trap(0x18)
    assert machine.place() == (0xC900, BEV)


def test_int_19h_starts_over_with_the_first_entry() -> None:
    machine = Machine({at: rom() for at in (0xC8000, 0xC8800)})
    machine.power_on()
    machine.come_back()
    machine.come_back()
    machine.come_back()
    assert machine.place() == (0xC880, BEV)
    machine.bios.trap(0x19)
    assert machine.place() == (0xC800, BEV)


def test_the_end_of_the_list_ends_the_guest_by_name() -> None:
    machine = Machine({0xC8000: rom()})
    machine.power_on()
    machine.come_back()
    with pytest.raises(GuestStopped, match="no bootable device: c800:0100 came back") as stopped:
        machine.come_back()
    assert stopped.value.reason is StopReason.UNFIT


def test_without_any_rom_there_is_nothing_to_boot() -> None:
    with pytest.raises(GuestStopped, match="no bootable device"):
        Machine({}).power_on()


def test_a_service_goes_on_at_its_iret() -> None:
    machine = Machine({0xC8000: rom()})
    machine.power_on()
    machine.cpu.set(Register.ESP, 0x6000)
    machine.bios.trap(0x12)
    assert machine.cpu.get(Register.AX) == 639
    assert machine.cpu.get(Register.EIP) == layout.stub_offset(0x12) + 1
