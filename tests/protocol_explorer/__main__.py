"""Explores the protocol and prints what was reached, as the table of docs/protocol.md.

With the argument `diagrams` it prints the state diagrams there instead.
"""

from __future__ import annotations

import sys

from tests.protocol_explorer.diagrams import dom0_diagram, stubdom_diagram
from tests.protocol_explorer.explorer import Counterexample
from tests.protocol_explorer.scenarios import HEAD, rows


def main() -> int:
    if sys.argv[1:] == ["diagrams"]:
        print(stubdom_diagram(), dom0_diagram(), sep="\n\n")
        return 0
    print(HEAD)
    states = steps = 0
    try:
        for row in rows():
            print(row, flush=True)
            states, steps = states + row.states, steps + row.steps
    except Counterexample as broken:
        print(broken, file=sys.stderr)
        return 1
    print(f"| all | {states} | {steps} | | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
