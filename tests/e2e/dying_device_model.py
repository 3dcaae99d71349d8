"""A device model that crashes in the middle of a move: `dying_device_model.py TIMES COUNTER ...`.

It dies as often as TIMES says, counted in the file COUNTER over all its processes, and is the
real one afterwards.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from devicemodel.cli import main
from handoff.addresses import Gpa, GpaRange
from handoff.guest_ram import MemfdRam

times, counter = int(sys.argv[1]), Path(sys.argv[2])
died = len(counter.read_text()) if counter.exists() else 0

_whole_move = MemfdRam.move


def _half_a_move(ram: MemfdRam, source: GpaRange, to: Gpa) -> None:
    _whole_move(ram, GpaRange(source.start, source.size // 2), to)
    ctypes.string_at(0)  # a confined process cannot even send itself a signal


if died < times:
    counter.write_text("x" * (died + 1))
    MemfdRam.move = _half_a_move  # type: ignore[method-assign]

main(sys.argv[3:])
