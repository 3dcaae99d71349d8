"""`python -m devicemodel`, as the toolstack starts it: at once, or ahead of its arguments."""

from __future__ import annotations

import sys

from devicemodel.cli import main
from devicemodel.waiting import receive

if __name__ == "__main__":
    arguments: list[str] | None = sys.argv[1:]
    if sys.argv[1:2] == ["--wait-fd"]:
        arguments = receive(int(sys.argv[2]))
    if arguments is not None:
        main(arguments)
