"""A device model that crashes in the middle of a move, or of a large write where it has nothing to
move: `dying_device_model.py TIMES COUNTER ...`.

It dies as often as TIMES says, counted in the file COUNTER over all its processes, and is the
real one afterwards.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from devicemodel.cli import main
from handoff.addresses import PAGE, Gpa, GpaRange
from handoff.guest_ram import MemfdRam, Readable

times, counter = int(sys.argv[1]), Path(sys.argv[2])
died = len(counter.read_text()) if counter.exists() else 0

LARGE_BYTES = 64 << 10
_whole_move, _whole_write = MemfdRam.move, MemfdRam.write


def _half_a_move(ram: MemfdRam, source: GpaRange, to: Gpa) -> None:
    _whole_move(ram, GpaRange(source.start, source.size // 2), to)
    # As where the two overlap: what was to be moved is not what it was.
    ram.fill(GpaRange(source.start, PAGE), 0)
    _crash()


def _half_a_write(ram: MemfdRam, at: Gpa, data: Readable) -> None:
    if len(data) < LARGE_BYTES:
        _whole_write(ram, at, data)
        return
    _whole_write(ram, at, data[: len(data) // 2])
    _crash()


def _crash() -> None:
    ctypes.string_at(0)  # a confined process cannot even send itself a signal


if died < times:
    counter.write_text("x" * (died + 1))
    MemfdRam.move = _half_a_move  # type: ignore[method-assign]
    MemfdRam.write = _half_a_write  # type: ignore[method-assign]

main(sys.argv[3:])
