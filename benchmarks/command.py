"""A benchmark as a command: numbers checked, failures in one line, an interrupt in order."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable


def count(text: str) -> int:
    """For argparse: at least 1."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def seconds(text: str) -> float:
    """For argparse: above 0."""
    if not (value := float(text)) > 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def run(name: str, work: Callable[[], None], *failures: type[Exception]) -> None:
    """Does `work` and exits: 0, 1 with a line for one of `failures`, 130 when interrupted."""
    status: int | str = 0
    try:
        try:
            work()
        except failures as error:
            status = f"{name}: {error or type(error).__name__}"
    # From within a nursery it comes in a group.
    except* KeyboardInterrupt:
        status = 130
    sys.exit(status)
