"""The port GuestRam: each rule takes guest RAM and a stretch of it that may be overwritten.

Nothing is assumed of what lies there before. On a real Xen the stretch is RAM of a paused
domain, here of a memory file or of a fake of libxenforeignmemory.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from blake3 import blake3

from handoff.addresses import PAGE, Gpa, GpaRange
from handoff.errors import RamAccessError
from handoff.guest_ram import GuestRam

Rule = Callable[[GuestRam, GpaRange, GpaRange], None]
"""Called with guest RAM, a stretch of it that is the rule's, and the range of RAM around it."""


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes that are the same nowhere near."""
    return blake3(seed.to_bytes(4, "little")).digest(size)


def what_is_written_is_read(ram: GuestRam, scratch: GpaRange, whole: GpaRange) -> None:
    for offset, size in ((0, 1), (0, PAGE), (PAGE - 1, 2), (17, 3 * PAGE), (5, scratch.size - 5)):
        at = Gpa(scratch.start + offset)
        data = pattern(size, offset + 2)
        ram.write(at, data)
        assert ram.read(GpaRange(at, size)) == data


def a_write_leaves_its_neighbours(ram: GuestRam, scratch: GpaRange, whole: GpaRange) -> None:
    before = bytearray(pattern(scratch.size))
    ram.write(scratch.start, before)
    ram.write(Gpa(scratch.start + PAGE + 3), bytearray(b"between"))
    before[PAGE + 3 : PAGE + 10] = b"between"
    assert ram.read(scratch) == before


def no_data_is_no_access(ram: GuestRam, scratch: GpaRange, whole: GpaRange) -> None:
    ram.write(Gpa(whole.end), b"")


def a_move_is_memmove(ram: GuestRam, scratch: GpaRange, whole: GpaRange) -> None:
    half = scratch.size // 2
    for source, to in ((0, half), (half, 0), (0, 1), (1, 0), (0, PAGE), (PAGE + 7, 3), (5, 5)):
        size = scratch.size - max(source, to)
        model = bytearray(pattern(scratch.size))
        ram.write(scratch.start, model)
        ram.move(GpaRange(Gpa(scratch.start + source), size), Gpa(scratch.start + to))
        model[to : to + size] = bytes(model[source : source + size])
        assert ram.read(scratch) == model, (source, to)


def a_fill_changes_its_range_alone(ram: GuestRam, scratch: GpaRange, whole: GpaRange) -> None:
    model = bytearray(pattern(scratch.size))
    ram.write(scratch.start, model)
    ram.fill(GpaRange(Gpa(scratch.start + 9), scratch.size - 20), 0xCC)
    model[9 : scratch.size - 11] = b"\xcc" * (scratch.size - 20)
    assert ram.read(scratch) == model


def a_digest_is_blake3_of_prefix_and_range(
    ram: GuestRam, scratch: GpaRange, whole: GpaRange
) -> None:
    data = pattern(scratch.size)
    ram.write(scratch.start, data)
    assert ram.digest(scratch) == blake3(data).digest()
    part = GpaRange(Gpa(scratch.start + 11), scratch.size - 12)
    assert ram.digest(part, b"before") == blake3(b"before" + data[11:-1]).digest()


def a_release_keeps_what_is_beside_it(ram: GuestRam, scratch: GpaRange, whole: GpaRange) -> None:
    data = pattern(scratch.size)
    ram.write(scratch.start, data)
    ram.release(GpaRange(Gpa(scratch.start + PAGE), PAGE))
    assert ram.read(GpaRange(scratch.start, PAGE)) == data[:PAGE]
    behind = GpaRange(Gpa(scratch.start + 2 * PAGE), scratch.size - 2 * PAGE)
    assert ram.read(behind) == data[2 * PAGE :]


def what_leaves_ram_is_refused_and_changes_nothing(
    ram: GuestRam, scratch: GpaRange, whole: GpaRange
) -> None:
    data = pattern(scratch.size)
    ram.write(scratch.start, data)
    end = GpaRange(Gpa(whole.end - PAGE), PAGE)
    before = ram.read(end)
    for outside in (GpaRange(Gpa(whole.end), 1), GpaRange(Gpa(whole.end - 1), 2)):
        attempts: tuple[Callable[[GpaRange], object], ...] = (
            ram.read,
            lambda where: ram.write(where.start, bytes(where.size)),
            lambda where: ram.fill(where, 0),
            ram.digest,
            ram.release,
            lambda where: ram.move(GpaRange(scratch.start, where.size), where.start),
            lambda where: ram.move(where, scratch.start),
        )
        for attempt in attempts:
            with pytest.raises(RamAccessError, match=f"{outside.start:#x}.*guest RAM is"):
                attempt(outside)
    assert ram.read(end) == before
    assert ram.read(scratch) == data


RULES: tuple[Rule, ...] = (
    what_is_written_is_read,
    a_write_leaves_its_neighbours,
    no_data_is_no_access,
    a_move_is_memmove,
    a_fill_changes_its_range_alone,
    a_digest_is_blake3_of_prefix_and_range,
    a_release_keeps_what_is_beside_it,
    what_leaves_ram_is_refused_and_changes_nothing,
)
