"""The `toolstack` program: the device model's interpreter first, then our own imports."""

from __future__ import annotations

import gc
import os
import sys

from toolstack.early_start import start_waiting, wanted


def main() -> None:
    """Entry point of the `toolstack` program."""
    # What is imported stays: to look for garbage in it takes a tenth of the start.
    gc.disable()
    _fill_standard_streams()
    waiting = start_waiting() if wanted(sys.argv[1:]) else None
    try:
        from toolstack.cli import run

        gc.freeze()
        gc.enable()
        run(waiting)
    finally:
        if waiting is not None:
            waiting.abandon()


def _fill_standard_streams() -> None:
    """A stream that was closed becomes /dev/null: else the next file opened takes its number,
    and the guest's console is written into it."""
    for stream in range(3):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one


if __name__ == "__main__":
    main()
