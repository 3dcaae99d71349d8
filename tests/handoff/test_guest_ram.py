from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import FOUR_GIB, GIB, PAGE, Gpa, GpaRange
from handoff.errors import RamAccessError
from handoff.guest_ram import MemfdRam, create_ram_file, regions_for
from tests.builders import POISON, host_file, noise, small_ram, two_regions

LOW, HIGH = two_regions(6, 5)
RANGES = (LOW.range, HIGH.range)
OUTSIDE = [
    GpaRange(Gpa(LOW.range.end), 1),
    GpaRange(Gpa(LOW.range.end - 1), 2),
    GpaRange(Gpa(FOUR_GIB - 1), 2),
    GpaRange(Gpa(HIGH.range.end - 1), 2),
    GpaRange(Gpa(LOW.range.end - PAGE), 5 * PAGE),
]


@pytest.fixture
def ram() -> Iterator[MemfdRam]:
    with small_ram((LOW, HIGH)) as ram:
        yield ram


def contents(ram: MemfdRam) -> bytes:
    return b"".join(ram.read(where) for where in RANGES)


@st.composite
def inside(draw: st.DrawFn) -> GpaRange:
    region = draw(st.sampled_from(RANGES))
    start = draw(st.integers(0, region.size - 1))
    return GpaRange(Gpa(region.start + start), draw(st.integers(1, region.size - start)))


@st.composite
def moves(draw: st.DrawFn) -> tuple[GpaRange, Gpa]:
    source = draw(inside())
    region = draw(st.sampled_from([r for r in RANGES if r.size >= source.size]))
    return source, Gpa(region.start + draw(st.integers(0, region.size - source.size)))


def at(where: GpaRange) -> slice:
    """Where the bytes of `where` are in `contents`."""
    low = where.start < FOUR_GIB
    start = where.start if low else where.start - FOUR_GIB + LOW.range.size
    return slice(start, start + where.size)


@given(moves=st.lists(moves(), max_size=4), seed=st.integers(0, 9))
def test_a_move_is_memmove_within_and_between_regions(
    moves: list[tuple[GpaRange, Gpa]], seed: int
) -> None:
    with small_ram((LOW, HIGH)) as ram:
        model = bytearray(noise(LOW.range.size + HIGH.range.size, seed))
        for region in RANGES:
            ram.write(region.start, model[at(region)])
        for source, to in moves:
            ram.move(source, to)
            model[at(GpaRange(to, source.size))] = bytes(model[at(source)])
        assert contents(ram) == model


@given(where=inside(), byte=st.integers(0, 255))
def test_a_fill_changes_its_range_and_nothing_else(where: GpaRange, byte: int) -> None:
    with small_ram((LOW, HIGH)) as ram:
        model = bytearray(contents(ram))
        ram.fill(where, byte)
        model[at(where)] = bytes([byte]) * where.size
        assert contents(ram) == model


def test_a_large_fill_and_a_large_move_between_regions_are_whole() -> None:
    regions = two_regions(700, 700)  # more than one internal step of 1 MiB
    low, high = (region.range for region in regions)
    with small_ram(regions) as ram:
        ram.fill(low, 0x5A)
        ram.write(Gpa(low.end - 4), b"tail")
        ram.move(low, high.start)
        assert ram.read(high) == b"\x5a" * (high.size - 4) + b"tail"


def test_addresses_above_4_gib_are_ram_of_their_own(ram: MemfdRam) -> None:
    ram.write(Gpa(0), b"low")
    ram.write(FOUR_GIB, b"high")
    assert ram.read(GpaRange(Gpa(0), 4)) == b"low" + bytes([POISON])
    assert ram.read(GpaRange(FOUR_GIB, 4)) == b"high"


@pytest.mark.parametrize("where", OUTSIDE, ids=str)
def test_an_access_that_leaves_ram_is_refused_and_changes_nothing(
    ram: MemfdRam, where: GpaRange
) -> None:
    before = contents(ram)
    attempts: dict[str, Callable[[], object]] = {
        "read": lambda: ram.read(where),
        "write": lambda: ram.write(where.start, bytes(where.size)),
        "fill": lambda: ram.fill(where, 0),
        "digest": lambda: ram.digest(where),
        "release": lambda: ram.release(where),
        "move to": lambda: ram.move(GpaRange(Gpa(0), where.size), where.start),
        "move from": lambda: ram.move(where, Gpa(0)),
        "copy": lambda: ram.copy_from_file(-1, where),
    }
    for name, attempt in attempts.items():
        with pytest.raises(RamAccessError, match="guest RAM is") as refused:
            attempt()
        assert f"{where.start:#x}" in str(refused.value), name
    assert contents(ram) == before


def test_a_move_is_checked_at_both_ends_before_a_byte_goes(ram: MemfdRam) -> None:
    before = contents(ram)
    with pytest.raises(RamAccessError, match="cannot write"):
        ram.move(GpaRange(Gpa(0), 2 * PAGE), Gpa(LOW.range.end - PAGE))
    assert contents(ram) == before


def test_writing_no_bytes_is_no_access_at_all(ram: MemfdRam) -> None:
    ram.write(Gpa(LOW.range.end), b"")


@given(st.binary(min_size=1, max_size=3 * PAGE), st.binary(max_size=100))
def test_a_digest_is_blake3_of_prefix_and_range(content: bytes, prefix: bytes) -> None:
    with small_ram((LOW, HIGH)) as ram:
        ram.write(FOUR_GIB, content)
        where = GpaRange(FOUR_GIB, len(content))
        assert ram.digest(where) == blake3(content).digest()
        assert ram.digest(where, prefix) == blake3(prefix + content).digest()


def test_the_digest_of_nothing_but_abc_is_the_published_one(ram: MemfdRam) -> None:
    ram.write(Gpa(7), b"c")
    # blake3("abc"), from the test vectors of the official implementations.
    expected = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
    assert ram.digest(GpaRange(Gpa(7), 1), b"ab").hex() == expected


def test_released_pages_cost_the_host_nothing_and_their_neighbours_stay(ram: MemfdRam) -> None:
    before = ram.resident_bytes()
    ram.release(GpaRange(Gpa(PAGE + 1), 3 * PAGE))
    assert before - ram.resident_bytes() == 2 * PAGE
    for kept in (GpaRange(Gpa(0), 2 * PAGE), GpaRange(Gpa(4 * PAGE), 2 * PAGE)):
        assert ram.read(kept) == bytes([POISON]) * kept.size


def test_a_release_of_less_than_a_page_keeps_all(ram: MemfdRam) -> None:
    before = contents(ram)
    ram.release(GpaRange(Gpa(PAGE + 1), PAGE))
    assert contents(ram) == before


@pytest.mark.parametrize("size", [1, PAGE - 1, PAGE, 2 * PAGE + 17])
def test_a_copy_inside_the_kernel_equals_a_copy_through_a_buffer(ram: MemfdRam, size: int) -> None:
    content = noise(size, 5)
    to = GpaRange(Gpa(FOUR_GIB + 0x123), size)
    with host_file(content) as file:
        assert ram.copy_from_file(file.fileno(), to) == size
    copied = contents(ram)
    ram.fill(to, POISON)
    ram.write(to.start, content)
    assert contents(ram) == copied


def test_a_copy_inside_the_kernel_stops_at_the_end_of_the_file(ram: MemfdRam) -> None:
    with host_file(b"short") as file:
        assert ram.copy_from_file(file.fileno(), GpaRange(Gpa(0), 100)) == 5
    assert ram.read(GpaRange(Gpa(0), 6)) == b"short" + bytes([POISON])


@pytest.mark.parametrize(
    ("memory_bytes", "low_end", "regions"),
    [
        (GIB, 0xC0000000, [(0, GIB, 0)]),
        (0xC0000000, 0xC0000000, [(0, 0xC0000000, 0)]),
        (4 * GIB, 0xC0000000, [(0, 0xC0000000, 0), (4 * GIB, GIB, 0xC0000000)]),
    ],
)
def test_memory_beyond_the_hole_continues_at_4_gib_and_without_a_gap_in_the_file(
    memory_bytes: int, low_end: int, regions: list[tuple[int, int, int]]
) -> None:
    found = regions_for(memory_bytes, Gpa(low_end))
    assert [(r.range.start, r.range.size, r.file_offset) for r in found] == regions


def test_nobody_can_resize_the_file_under_a_mapping() -> None:
    fd = create_ram_file("guest", 4 * PAGE)
    try:
        for size in (0, 3 * PAGE, 5 * PAGE):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        assert os.fstat(fd).st_size == 4 * PAGE
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


def test_a_file_that_cannot_be_made_leaves_no_descriptor() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="Invalid argument"):
        create_ram_file("guest", -1)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_two_mappings_of_one_file_are_the_same_ram() -> None:
    fd = create_ram_file("guest", 11 * PAGE)
    try:
        ours, theirs = MemfdRam(fd, (LOW, HIGH)), MemfdRam(fd, (LOW, HIGH))
        ours.write(Gpa(FOUR_GIB + 5), b"seen")
        assert theirs.read(GpaRange(Gpa(FOUR_GIB + 5), 4)) == b"seen"
        ours.close()
        theirs.close()
    finally:
        os.close(fd)


def test_a_file_shorter_than_the_regions_is_refused() -> None:
    fd = create_ram_file("guest", PAGE)
    try:
        with pytest.raises(ValueError, match="mmap"):
            MemfdRam(fd, (LOW,))
    finally:
        os.close(fd)
