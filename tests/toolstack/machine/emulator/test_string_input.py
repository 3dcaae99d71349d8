"""REP INS as one request: what is taken for one, and that the guest cannot tell."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import pytest

from handoff.addresses import GpaRange
from handoff.ioreq import COUNT_MAX
from tests.toolstack.machine.emulator.assembly import option_rom
from tests.toolstack.machine.emulator.guest import BUDGET, Guest, guest
from toolstack.machine.emulator.segment_state import Segments
from toolstack.machine.emulator.stop import StopReason
from toolstack.machine.emulator.string_input import DIRECTION_FLAG, string_input

REAL = Segments(cs_base=0xC8000, es_base=0x10000, address_bytes=2)
FLAT = Segments(cs_base=0, es_base=0, address_bytes=4)
LONG = Segments(cs_base=0, es_base=0, address_bytes=8)


@pytest.mark.parametrize(
    ("code", "segments", "expected"),
    [
        pytest.param("f36c", REAL, GpaRange.between(0x10010, 0x10013), id="rep insb"),
        pytest.param("67f36c", REAL, GpaRange.between(0x12350010, 0x12350013), id="a32"),
        pytest.param("f36c", FLAT, GpaRange.between(0x12340010, 0x12340013), id="flat"),
        pytest.param("67f36c", FLAT, GpaRange.between(0x10, 0x13), id="a16 in flat"),
        pytest.param("2ef26c", REAL, GpaRange.between(0x10010, 0x10013), id="override, repne"),
        pytest.param("6c", REAL, None, id="not repeated"),
        pytest.param("f36e", REAL, None, id="outs"),
        pytest.param("ec", REAL, None, id="in"),
        pytest.param("f3" * 15, REAL, None, id="prefixes only"),
        pytest.param("f36c", LONG, None, id="long mode"),
    ],
)
def test_an_instruction_is_recognised_with_its_prefixes(
    code: str, segments: Segments, expected: GpaRange | None
) -> None:
    padded = bytes.fromhex(code).ljust(15, b"\x90")
    assert string_input(padded, 1, 3, 0x12340010, 2, segments) == expected


def test_the_direction_flag_one_value_and_offsets_that_wrap_are_left_to_the_engine() -> None:
    code = bytes.fromhex("f36c").ljust(15, b"\x90")
    assert string_input(code, 1, 3, 0, DIRECTION_FLAG, REAL) is None
    assert string_input(code, 1, 1, 0, 2, REAL) is None
    assert string_input(code, 1, 0x10000, 0, 2, REAL) is None  # CX is 0
    assert string_input(code, 1, 2, 0xFFFF, 2, REAL) is None


def test_no_more_than_a_request_may_have_is_taken_at_once() -> None:
    code = bytes.fromhex("f36d").ljust(15, b"\x90")
    to = string_input(code, 4, 3 * COUNT_MAX, 0x100000, 2, FLAT)
    assert to == GpaRange.between(0x100000, 0x100000 + 4 * COUNT_MAX)


@dataclass
class Counting:
    """A StringPortDevice whose values count upwards."""

    guest: Guest
    values: int = 0
    strings: list[GpaRange] = field(default_factory=list)

    def read(self, port: int, size: int) -> int:
        self.values += 1
        return self.values

    def write(self, port: int, size: int, value: int) -> None:
        self.values = value

    def read_string(self, port: int, size: int, to: GpaRange) -> None:
        self.strings.append(to)
        for at in range(0, to.size, size):
            value = self.read(port, size).to_bytes(size, "little")
            self.guest.ram.write(to.start + at, value)  # type: ignore[arg-type]


STORE = """
    cli
    xor ax, ax
    mov ds, ax
    mov [0x7000], ecx
    mov [0x7004], edi
    hlt
"""


@dataclass(frozen=True)
class Left:
    """What the guest was left with."""

    ecx: int
    edi: int
    ram: bytes
    """at 0x20000"""
    strings: list[GpaRange]


def run(code: str) -> Left:
    """A guest that runs `code` with DX at the port and ES at 0x2000."""
    with guest() as machine:
        setup = "mov dx, 0x511\nmov ax, 0x2000\nmov es, ax\nxor edi, edi\ncld\n"
        machine.insert(option_rom(f"{setup}{code}\n{STORE}"))
        device = Counting(machine)
        with machine.start() as emulator:
            emulator.ports.claim_strings(range(0x510, 0x512), device)
            stop = emulator.run(max_instructions=BUDGET)
        assert stop.reason is StopReason.HALTED, stop.detail
        registers = struct.unpack("<II", machine.read(0x7000, 8))
        return Left(*registers, machine.read(0x20000, 16), device.strings)


@pytest.mark.parametrize(
    ("code", "edi"),
    [
        pytest.param("mov ecx, 9\nrep insb", 9, id="16-bit addresses"),
        pytest.param(
            "xor ax, ax\nmov es, ax\nmov edi, 0x20000\nmov ecx, 9\na32 rep insb",
            0x20009,
            id="32-bit addresses",
        ),
        pytest.param("mov ecx, 0xabcd0009\nrep insb", 9, id="CX counts alone"),
    ],
)
def test_the_guest_finds_what_single_reads_would_have_left(code: str, edi: int) -> None:
    left = run(code)
    assert left.ram[:10] == bytes((*range(1, 10), 0))
    assert (left.ecx & 0xFFFF, left.edi) == (0, edi)
    assert left.strings == [GpaRange.between(0x20000, 0x20009)]


def test_strings_that_go_down_are_read_one_by_one() -> None:
    left = run("mov edi, 6\nmov ecx, 4\nstd\nrep insw\ncld")
    assert left.ram[:8].hex() == "0400030002000100"
    assert left.strings == []


def test_strings_into_read_only_memory_are_read_one_by_one_and_lost() -> None:
    left = run("mov ax, cs\nmov es, ax\nmov ecx, 4\nrep insb")
    assert (left.ecx, left.edi) == (0, 4)
    assert left.strings == []
