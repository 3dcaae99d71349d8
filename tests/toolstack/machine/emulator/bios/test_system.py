"""Int 15h, with the traps that SeaBIOS has."""

import struct

import pytest

from handoff.addresses import GIB, MIB, Gpa
from handoff.e820 import E820Map
from handoff.platforms import memory_map
from tests.toolstack.machine.emulator.bios.calls import Caller
from toolstack.machine.emulator.bios.system import SystemServices, copy_extended_memory
from toolstack.machine.emulator.stop import GuestStopped, StopReason

SMAP = 0x534D4150
LOW_LIMIT = Gpa(0xF0000000)
TABLE, SOURCE, TARGET = 0x0600, 0x110000, 0x140000


class Gate:
    def __init__(self) -> None:
        self.a20 = True


def services(memory_bytes: int = 512 * MIB) -> SystemServices:
    return SystemServices(memory_map(memory_bytes, LOW_LIMIT), Gate())


def ask_e820(e820: E820Map) -> list[tuple[int, int, int]]:
    """The map as a guest collects it."""
    system, caller = SystemServices(e820, Gate()), Caller()
    records: list[tuple[int, int, int]] = []
    index = 0
    for _ in range(128):
        caller.call(system.call, eax=0xE820, ebx=index, ecx=20, edx=SMAP, es=0x100, di=0x20)
        assert (caller.carry, caller.get("eax"), caller.get("ecx")) == (False, SMAP, 20)
        records.append(struct.unpack("<QQI", caller.cpu.read(0x1020, 20)))
        index = caller.get("ebx")
        if index == 0:
            return records
    raise AssertionError("the map has no end")


@pytest.mark.parametrize("memory_bytes", [64 * MIB, 512 * MIB, 8 * GIB])
def test_e820_gives_the_map_entry_by_entry(memory_bytes: int) -> None:
    e820 = memory_map(memory_bytes, LOW_LIMIT)
    expected = [(entry.range.start, entry.range.size, entry.type) for entry in e820.entries]
    assert ask_e820(e820) == expected


@pytest.mark.parametrize(
    "wrong", [{"edx": 0x50414D53}, {"ebx": 6}, {"ebx": 0xFFFFFFFF}, {"ecx": 19}]
)
def test_e820_refuses_what_seabios_refuses(wrong: dict[str, int]) -> None:
    registers = {"eax": 0xE820, "ebx": 0, "ecx": 20, "edx": SMAP, "es": 0x100, "di": 0, **wrong}
    caller = Caller()
    caller.call(services().call, **registers)
    assert (caller.carry, caller.get("ah")) == (True, 0x86)
    assert caller.cpu.read(0x1000, 20) == bytes(20)


@pytest.mark.parametrize(
    ("memory_bytes", "low", "high"),
    [
        (8 * MIB, 7 * 1024, 0),
        (16 * MIB, 15 * 1024, 0),
        (64 * MIB, 15 * 1024, 48 * 16),
        (2 * GIB, 15 * 1024, (2048 - 16) * 16),
        (8 * GIB, 15 * 1024, (3840 - 16) * 16),
    ],
)
def test_e801_splits_memory_at_16_mib(memory_bytes: int, low: int, high: int) -> None:
    caller = Caller()
    caller.call(services(memory_bytes).call, eax=0xE801)
    assert (caller.get("ax"), caller.get("bx")) == (low, high)
    assert (caller.get("cx"), caller.get("dx")) == (low, high)
    assert not caller.carry


@pytest.mark.parametrize(("memory_bytes", "kib"), [(8 * MIB, 7 * 1024), (GIB, 63 * 1024)])
def test_88_tells_at_most_63_mib(memory_bytes: int, kib: int) -> None:
    caller = Caller()
    caller.call(services(memory_bytes).call, eax=0x8800)
    assert (caller.get("ax"), caller.carry) == (kib, False)


def test_a20_functions() -> None:
    gate, caller = Gate(), Caller()
    system = SystemServices(memory_map(64 * MIB, LOW_LIMIT), gate)
    caller.call(system.call, eax=0x2400)
    assert (gate.a20, caller.carry, caller.get("ah")) == (False, False, 0)
    caller.call(system.call, eax=0x2402)
    assert caller.get("al") == 0
    caller.call(system.call, eax=0x2401)
    caller.call(system.call, eax=0x2402)
    assert (gate.a20, caller.get("al"), caller.carry) == (True, 1, False)
    caller.call(system.call, eax=0x2403)
    assert (caller.get("bx"), caller.carry) == (3, False)
    caller.call(system.call, eax=0x2404)
    assert (caller.carry, caller.get("ah")) == (True, 0x86)


def test_configuration_table_and_ebda() -> None:
    caller = Caller()
    caller.call(services().call, eax=0xC000)
    assert (caller.get("es"), caller.get("bx"), caller.carry) == (0xF000, 0xE6F5, False)
    caller.call(services().call, eax=0xC100)
    assert (caller.get("es"), caller.carry) == (0x9FC0, False)


def test_a_wait_is_over_at_once() -> None:
    caller = Caller(flags=0x0003)
    caller.call(services().call, eax=0x8600, ecx=0xFFFF, edx=0xFFFF)
    assert not caller.carry


@pytest.mark.parametrize("eax", [0x5300, 0xE802, 0xE881, 0x0000])
def test_functions_it_does_not_have_fail(eax: int) -> None:
    caller = Caller()
    caller.call(services().call, eax=eax)
    assert (caller.carry, caller.get("ah")) == (True, 0x86)


def test_the_keyboard_intercept_fails_without_a_status() -> None:
    caller = Caller()
    caller.call(services().call, eax=0x4F1E)
    assert (caller.carry, caller.get("ax")) == (True, 0x4F1E)


def descriptor(base: int, limit: int = 0xFFFF, access: int = 0x93) -> bytes:
    return struct.pack("<HHBBBB", limit, base & 0xFFFF, base >> 16 & 0xFF, access, 0, base >> 24)


def copier(source: bytes, target: bytes, at: int = TABLE) -> Caller:
    caller = Caller()
    caller.cpu.write(at, bytes(16) + source + target + bytes(16))
    return caller


def copy(caller: Caller, words: int, at: int = TABLE) -> None:
    caller.call(copy_extended_memory, eax=0x8700, ecx=words, es=at >> 4, esi=at & 0xF)


def test_87_copies_words_and_fills_three_descriptors_of_the_table() -> None:
    caller = copier(descriptor(SOURCE), descriptor(TARGET))
    caller.cpu.write(SOURCE, bytes(range(200)))
    copy(caller, 100)
    assert caller.cpu.read(TARGET, 201) == bytes(range(200)) + b"\0"
    assert (caller.carry, caller.get("ah")) == (False, 0)
    table = caller.cpu.read(TABLE, 0x30)
    assert [slot for slot in range(0, 0x30, 8) if table[slot : slot + 8] != bytes(8)] == [
        *(0x08, 0x10, 0x18, 0x20, 0x28)
    ]


def test_87_copies_64_kib_and_reports_success_when_asked_for_more() -> None:
    caller = copier(descriptor(SOURCE), descriptor(TARGET))
    caller.cpu.write(SOURCE, b"\xab" * 0x20000)
    copy(caller, 0xFFFF)
    assert (caller.carry, caller.get("ah")) == (False, 0)
    assert caller.cpu.read(TARGET, 0x10000) == b"\xab" * 0x10000
    assert caller.cpu.read(TARGET + 0x10000, 16) == bytes(16)


@pytest.mark.parametrize(("distance", "expected"), [(4, b"abcd" * 4), (-4, b"abcdefghijkl")])
def test_87_copies_ascending_where_the_ranges_overlap(distance: int, expected: bytes) -> None:
    caller = copier(descriptor(SOURCE), descriptor(SOURCE + distance))
    caller.cpu.write(SOURCE, b"abcdefghijkl")
    copy(caller, 6)
    start = min(SOURCE, SOURCE + distance)
    assert caller.cpu.read(start, len(expected)) == expected


def test_87_with_no_words_copies_nothing() -> None:
    caller = copier(descriptor(SOURCE, limit=0), descriptor(TARGET, limit=0))
    caller.cpu.write(SOURCE, b"x")
    copy(caller, 0)
    assert (caller.cpu.read(TARGET, 1), caller.carry) == (b"\0", False)


def test_87_with_a_table_in_rom_ends_the_guest() -> None:
    rom_table = 0xC8100
    caller = copier(descriptor(SOURCE), descriptor(TARGET), at=rom_table)
    caller.cpu.protect(0xC0000, 0x28000)
    with pytest.raises(GuestStopped, match="0xc8100 is in read-only memory") as stopped:
        copy(caller, 4, at=rom_table)
    assert stopped.value.reason is StopReason.CRASHED


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (descriptor(SOURCE, limit=6), descriptor(TARGET), "source's limit 0x6 is below 0x7"),
        (descriptor(SOURCE), descriptor(TARGET, limit=6), "destination's limit"),
        (descriptor(SOURCE), descriptor(TARGET, access=0), "access byte 0x00"),
    ],
)
def test_87_faults_where_the_descriptors_do_not_cover_the_copy(
    source: bytes, target: bytes, message: str
) -> None:
    with pytest.raises(GuestStopped, match=message):
        copy(copier(source, target), 4)
