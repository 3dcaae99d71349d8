"""`python -m devicemodel`, as the toolstack starts it: at once, or ahead of its arguments."""

from __future__ import annotations

import gc
import sys


def start() -> None:
    """Imports everything, then waits for arguments if they are to come on a channel."""
    # What is imported stays: to look for garbage in it takes a tenth of the start.
    gc.disable()
    from devicemodel.cli import main
    from devicemodel.waiting import receive

    gc.freeze()
    gc.enable()
    arguments: list[str] | None = sys.argv[1:]
    if sys.argv[1:2] == ["--wait-fd"]:
        arguments = receive(int(sys.argv[2]))
    if arguments is not None:
        main(arguments)


if __name__ == "__main__":
    start()
