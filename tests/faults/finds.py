"""Trials that once went wrong, whatever the seeds draw now."""

from __future__ import annotations

from tests.faults.steps import RequestStep
from tests.faults.trial import (
    AtRequest,
    Blow,
    Cell,
    Kind,
    Moment,
    Surroundings,
    Throughout,
    Trial,
)
from tests.faults.victim import Victim


def _find(number: int, cell: Cell, *, load: str = "kernel", kind: Kind = Kind.KERNEL) -> Trial:
    # sim_seed 0: the smallest file system for guest RAM.
    return Trial(0, number, cell, kind, "memory", load, "socket", 0.3, 0.0, 0)


FINDS = (
    # A second attempt put its ROM behind that of the first, which firmware would have entered.
    _find(
        0,
        Cell(
            AtRequest(RequestStep.READY_COMMITTED, Moment.BEFORE), (Blow.KILL, Victim.DEVICE_MODEL)
        ),
    ),
    # No page for an image: SIGBUS ended the toolstack without a word.
    _find(1, Cell(Throughout(), Surroundings.NO_PAGE), load="buffer"),
    # The same for the kernel's own copy: the image was said to be unreadable.
    _find(2, Cell(Throughout(), Surroundings.NO_PAGE)),
    # Progress that nobody read stopped the run for ever, and SIGTERM, too.
    _find(3, Cell(Throughout(), Surroundings.STDERR_UNREAD), kind=Kind.EMULATED),
)
