"""The `toolstack` program: the device model's interpreter first, then our own imports."""

from __future__ import annotations

import sys

from toolstack.early_start import start_waiting, wanted


def main() -> None:
    """Entry point of the `toolstack` program."""
    waiting = start_waiting() if wanted(sys.argv[1:]) else None
    try:
        from toolstack.cli import cli

        cli(prog_name="toolstack", obj=waiting)
    finally:
        if waiting is not None:
            waiting.abandon()


if __name__ == "__main__":
    main()
