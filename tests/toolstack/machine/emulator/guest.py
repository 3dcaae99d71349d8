"""A small poisoned guest for the emulator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from handoff.addresses import MIB, Gpa, GpaRange
from handoff.e820 import E820Map
from handoff.guest_ram import MemfdRam, RamRegion, create_ram_file, regions_for
from handoff.platforms import memory_map
from tests.toolstack.machine.emulator.assembly import option_rom
from toolstack.machine.emulator.emulator import Emulator
from toolstack.machine.emulator.stop import Stop

LOW_LIMIT = Gpa(0xF0000000)
MEMORY_BYTES = 64 * MIB
POISON = 0xCC
BUDGET = 1_000_000
"""instructions, for guests that might spin"""
ROM_ADDRESS = Gpa(0xC8000)


@dataclass
class Guest:
    """RAM and what came out; `start` makes the emulator over it."""

    fd: int
    regions: tuple[RamRegion, ...]
    ram: MemfdRam
    e820: E820Map
    console: bytearray = field(default_factory=bytearray)
    log: list[str] = field(default_factory=list)

    def insert(self, rom: bytes, at: Gpa = ROM_ADDRESS) -> None:
        self.ram.write(at, rom)

    def start(self) -> Emulator:
        return Emulator(
            self.fd,
            self.regions,
            self.e820,
            console=self.console.extend,
            log=self.log.append,
            clock=lambda: 1_000_000_000.0,
        )

    def read(self, start: int, size: int) -> bytes:
        return self.ram.read(GpaRange(Gpa(start), size))


@contextmanager
def guest(memory_bytes: int = MEMORY_BYTES, low_limit: Gpa = LOW_LIMIT) -> Iterator[Guest]:
    """A guest whose first 16 MiB are poisoned."""
    fd = create_ram_file("emulator-test", memory_bytes)
    try:
        regions = regions_for(memory_bytes, low_limit)
        ram = MemfdRam(fd, regions)
        ram.fill(GpaRange(Gpa(0), 16 * MIB), POISON)
        try:
            yield Guest(fd, regions, ram, memory_map(memory_bytes, low_limit))
        finally:
            ram.close()
    finally:
        os.close(fd)


def run_rom(bev: str, *, init: str = "retf") -> tuple[Stop, Guest, str]:
    """A guest whose only ROM has this code, run to its end."""
    with guest() as machine:
        machine.insert(option_rom(bev, init=init))
        with machine.start() as emulator:
            stop = emulator.run(max_instructions=BUDGET)
        return stop, machine, machine.console.decode()
