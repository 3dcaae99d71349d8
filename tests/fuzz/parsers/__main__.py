"""A fuzzing campaign on the parsers: `python -m tests.fuzz.parsers --seconds 600`.

Ends with status 1 if there is a find, which then lies in tests/golden/ and is a test.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.__main__ import GOLDEN
from tests.fuzz.parsers.campaign import CORPUS, campaign, target_of
from tests.fuzz.parsers.targets import TARGETS


def main() -> int:
    """The exit status: 0 nothing found, 1 a find."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.parsers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long, all together; 600")
    parser.add_argument(
        "--target", action="append", choices=list(TARGETS), help="only this one; again for more"
    )
    parser.add_argument("--keep", type=Path, default=GOLDEN, help="where a find goes; tests/golden")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="what was reached; .fuzz")
    parser.add_argument("--replay", type=Path, help="give this file once to its target instead")
    options = parser.parse_args()
    if options.replay is not None:
        print(
            f"{options.replay}: {TARGETS[target_of(options.replay)](options.replay.read_bytes())}"
        )
        return 0
    targets = options.target or list(TARGETS)
    return 1 if campaign(targets, options.seconds, options.keep, options.corpus) else 0


if __name__ == "__main__":
    sys.exit(main())
