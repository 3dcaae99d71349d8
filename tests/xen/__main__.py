"""`python -m tests.xen SCENARIO [NAME=VALUE ...]`: boots the bed, runs one scenario, prints it.

SCENARIO: dotted name of a function, `tests.xen.scenarios.` may be left out; or a file of Python
with a function `main`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.xen.bed.build import build
from tests.xen.bed.errors import BedError
from tests.xen.machine import Machine, Options
from tests.xen.protocol import Outcome


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.xen", description=__doc__)
    parser.add_argument("scenario")
    parser.add_argument("arguments", nargs="*", metavar="NAME=VALUE", help="JSON, or a text")
    parser.add_argument("--deadline", type=float, default=120.0, metavar="SECONDS")
    parser.add_argument("--console", type=Path, help="where the console goes")
    parser.add_argument("--file", type=Path, action="append", default=[], help="for dom0's /files")
    parser.add_argument("--xen", default="", help="for the hypervisor's command line")
    parser.add_argument("--dom0", default="quiet", help="for dom0's command line")
    return parser.parse_args(words)


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def main(words: Sequence[str]) -> int:
    """The exit status: 0 if the scenario was done and left nothing."""
    given = _arguments(words)
    console = given.console or Path(tempfile.mkdtemp(prefix="xenbed-")) / "console.log"
    scenario, files = given.scenario, list(given.file)
    if scenario.endswith(".py"):
        files.append(Path(scenario))
        scenario = f"{Path(scenario).stem}.main"
    elif not scenario.startswith("tests."):
        scenario = f"tests.xen.scenarios.{scenario}"
    arguments = {
        name: _value(value) for name, _, value in (each.partition("=") for each in given.arguments)
    }
    print(f"console: {console}", file=sys.stderr)
    try:
        with Machine(build(), console, Options(xen=given.xen, dom0=given.dom0), files) as machine:
            answer = machine.run(scenario, given.deadline, **arguments)
    except BedError as error:
        print(f"xenbed: {error}", file=sys.stderr)
        return 2
    print(json.dumps(dataclasses.asdict(answer), indent=1))
    if answer.reason:
        print(answer.reason, file=sys.stderr)
    return 0 if answer.outcome is Outcome.DONE and not answer.left else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
