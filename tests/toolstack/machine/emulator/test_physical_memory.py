"""A BIOS that was handed over is a ROM that ends at 4 GiB."""

from __future__ import annotations

from handoff.addresses import FOUR_GIB, Gpa, GpaRange
from tests.toolstack.machine.emulator.guest import guest
from toolstack.machine.emulator.engine import Engine
from toolstack.machine.emulator.ports import PortBus

BIOS = GpaRange(Gpa(0x200000), 0x20000)


def test_the_rom_has_the_bytes_of_the_bios_and_keeps_them() -> None:
    touched: list[int] = []
    with guest() as machine:
        machine.ram.write(BIOS.start, bytes(range(256)) * 0x200)
        engine = Engine(machine.fd, machine.regions, PortBus(), range(0), touched.append, BIOS)
        try:
            assert engine.read(FOUR_GIB - BIOS.size, BIOS.size) == bytes(range(256)) * 0x200
            # Guest RAM may change: a ROM was burnt before.
            machine.ram.write(BIOS.start, b"\xff")
            assert engine.read(FOUR_GIB - BIOS.size, 1) == b"\0"
            assert engine.read(FOUR_GIB - BIOS.size - 4, 4) == b"\xff" * 4
            assert touched != []
        finally:
            engine.close()


def test_without_one_there_is_nothing_below_4_gib() -> None:
    with guest() as machine:
        engine = Engine(machine.fd, machine.regions, PortBus(), range(0), lambda _: None)
        try:
            assert engine.read(FOUR_GIB - 16, 16) == b"\xff" * 16
        finally:
            engine.close()
