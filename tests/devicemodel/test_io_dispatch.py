from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from devicemodel.io_dispatch import IoDispatch
from handoff.addresses import GpaRange
from handoff.errors import RamAccessError
from handoff.guest_ram import MemfdRam, RamRegion
from handoff.ioreq import Direction, Ioreq, IoreqState, IoreqType
from tests.builders import small_ram

RAM = GpaRange.between(0x10000, 0x11000)
PORTS = range(0x510, 0x512)


@dataclass
class Counter:
    """A device whose reads count upwards; remembers what was written."""

    next: int = 1
    written: list[tuple[int, int, int]] = field(default_factory=list)

    def read(self, port: int, size: int) -> int:
        self.next += 1
        return self.next - 1

    def read_string(self, port: int, size: int, count: int) -> bytes:
        return b"".join(self.read(port, size).to_bytes(size, "little") for _ in range(count))

    def write(self, port: int, size: int, value: int) -> None:
        self.written.append((port, size, value))


@pytest.fixture
def ram() -> Iterator[MemfdRam]:
    with small_ram((RamRegion(RAM, 0),)) as ram:
        yield ram


def served(ram: MemfdRam, device: Counter) -> IoDispatch:
    dispatch = IoDispatch(ram)
    dispatch.claim(PORTS, device)
    return dispatch


def test_a_read_gives_the_devices_value(ram: MemfdRam) -> None:
    answer = served(ram, Counter(7)).answer(Ioreq(IoreqType.PIO, Direction.READ, 0x511, 1))
    assert (answer.state, answer.data) == (IoreqState.RESPONSE_READY, 7)


def test_a_write_reaches_the_device_and_its_answer_keeps_the_value(ram: MemfdRam) -> None:
    device = Counter()
    answer = served(ram, device).answer(Ioreq(IoreqType.PIO, Direction.WRITE, 0x510, 2, 0x19))
    assert device.written == [(0x510, 2, 0x19)]
    assert answer.data == 0x19


@pytest.mark.parametrize(
    ("descending", "data", "expected"),
    [(False, RAM.start, "010002000300"), (True, RAM.start + 4, "030002000100")],
)
def test_a_string_read_fills_ram_in_the_direction_asked_for(
    ram: MemfdRam, descending: bool, data: int, expected: str
) -> None:
    request = Ioreq(IoreqType.PIO, Direction.READ, 0x510, 2, data, 3, True, descending)
    served(ram, Counter()).answer(request)
    assert ram.read(GpaRange(RAM.start, 6)).hex() == expected


@pytest.mark.parametrize(("descending", "expected"), [(False, [1, 2, 3]), (True, [3, 2, 1])])
def test_a_string_write_takes_ram_in_the_direction_asked_for(
    ram: MemfdRam, descending: bool, expected: list[int]
) -> None:
    device = Counter()
    ram.write(RAM.start, bytes((1, 2, 3)))
    data = RAM.start + (2 if descending else 0)
    request = Ioreq(IoreqType.PIO, Direction.WRITE, 0x511, 1, data, 3, True, descending)
    served(ram, device).answer(request)
    assert [value for _, _, value in device.written] == expected


def test_where_no_device_is_reads_give_all_ones_and_writes_nothing(ram: MemfdRam) -> None:
    device = Counter()
    dispatch = served(ram, device)
    assert dispatch.answer(Ioreq(IoreqType.PIO, Direction.READ, 0x60, 2)).data == 0xFFFF
    mmio = Ioreq(IoreqType.COPY, Direction.READ, 0x510, 8)
    assert dispatch.answer(mmio).data == 0xFFFFFFFFFFFFFFFF
    dispatch.answer(Ioreq(IoreqType.PIO, Direction.WRITE, 0x60, 1, 5))
    dispatch.answer(Ioreq(IoreqType.PIO, Direction.READ, 0x60, 1, RAM.start, 4, True))
    assert ram.read(GpaRange(RAM.start, 4)) == b"\xff" * 4
    assert device.written == []


def test_a_buffer_outside_of_ram_is_refused_before_the_device_is_asked(ram: MemfdRam) -> None:
    device = Counter()
    request = Ioreq(IoreqType.PIO, Direction.WRITE, 0x510, 1, RAM.end - 1, 2, True)
    with pytest.raises(RamAccessError):
        served(ram, device).answer(request)
    assert device.written == []
