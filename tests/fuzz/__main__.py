"""A fuzzing campaign: `python -m tests.fuzz --seconds 600 --seed 1`.

Ends with status 1 at the first find, which then lies in tests/golden/ and is a test.
"""

import argparse
import hashlib
import random
import sys
import time
import traceback
from pathlib import Path
from typing import Final

from tests.fuzz.grammar import Grammar, RandomChoices
from tests.fuzz.player import play
from tests.fuzz.program import Program
from tests.fuzz.shrink import shrunk

GOLDEN: Final = Path(__file__).parents[1] / "golden"
STEPS_MAX: Final = 60
REPORT_EVERY_S: Final = 10


def main() -> int:
    """The exit status: 0 nothing found, 1 a find."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long; 600")
    parser.add_argument("--seed", type=int, help="same seed, same programs; random if not given")
    parser.add_argument("--first", type=int, default=0, help="number of the first program; 0")
    parser.add_argument("--keep", type=Path, default=GOLDEN, help="where a find goes; tests/golden")
    parser.add_argument("--replay", type=Path, help="play this file once instead")
    options = parser.parse_args()
    if options.replay is not None:
        play(Program.decode(options.replay.read_bytes()))
        print(f"{options.replay}: no failure")
        return 0
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    return campaign(
        seed, first=options.first, seconds=options.seconds, programs=None, directory=options.keep
    )


def campaign(
    seed: int, *, first: int, seconds: float | None, programs: int | None, directory: Path
) -> int:
    """Plays programs until time or programs are over or one fails; None: no such end."""
    print(f"seed {seed}", flush=True)
    start = reported = time.monotonic()
    number, steps, requests = first, 0, 0
    while programs is None or number < first + programs:
        now = time.monotonic()
        if seconds is not None and now >= start + seconds:
            break
        if now >= reported + REPORT_EVERY_S:
            reported = now
            _report(number - first, steps, requests, now - start)
        program = _program(seed, number)
        try:
            player = play(program)
        except Exception:
            print(f"program {number} of seed {seed} fails:", flush=True)
            traceback.print_exc(file=sys.stdout)
            print(f"smallest form: {_keep(program, directory)}")
            return 1
        number += 1
        steps += len(program.steps)
        requests += player.requests
    _report(number - first, steps, requests, time.monotonic() - start)
    return 0


def _program(seed: int, number: int) -> Program:
    generator = random.Random(f"{seed}/{number}")
    return Grammar(RandomChoices(generator), steps_max=STEPS_MAX).program()


def _report(programs: int, steps: int, requests: int, seconds: float) -> None:
    print(
        f"{seconds:6.0f} s: {programs} programs, {steps} steps, {requests} requests,"
        f" {programs / seconds:.0f} programs/s, {requests / seconds:.0f} requests/s",
        flush=True,
    )


def _keep(program: Program, directory: Path) -> Path:
    """The file that the find is kept in."""
    kind = _failure_of(program)
    data = shrunk(program, lambda smaller: _failure_of(smaller) == kind).encode()
    path = directory / f"fuzz_{hashlib.sha256(data).hexdigest()[:8]}.bin"
    directory.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _failure_of(program: Program) -> type[Exception] | None:
    try:
        play(program)
    except Exception as failure:
        return type(failure)
    return None


if __name__ == "__main__":
    sys.exit(main())
