"""Memory sizes come from the RAM that holds 1 MiB, up to the first hole."""

from handoff.addresses import MIB, GpaRange
from handoff.e820 import E820Entry, E820Map, E820Type
from toolstack.machine.emulator.bios.memory_map import MemorySizes


def test_a_hole_ends_the_count_and_adjoining_ram_goes_on() -> None:
    def ram(start: int, end: int) -> E820Entry:
        return E820Entry(GpaRange.between(start, end), E820Type.RAM)

    e820 = E820Map.of(
        (ram(0, MIB), ram(MIB, 8 * MIB), ram(8 * MIB, 12 * MIB), ram(16 * MIB, 32 * MIB))
    )
    assert MemorySizes.of(e820).above_1_mib == 11 * MIB
