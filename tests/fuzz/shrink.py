"""Makes a failing program as small as it gets."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from tests.fuzz.program import Kind, Program, Step

TRIES_MAX: Final = 3000


def shrunk(program: Program, fails: Callable[[Program], bool]) -> Program:
    """A program that fails with nothing in it to leave out, or the best of TRIES_MAX tries."""
    tries = 0
    while True:
        for candidate in _smaller(program):
            tries += 1
            if tries > TRIES_MAX:
                return program
            if fails(candidate):
                program = candidate
                break
        else:
            return program


def _smaller(program: Program) -> Iterator[Program]:
    """The same with something left out, the most at first."""
    steps = program.steps
    size = len(steps) // 2
    while size:
        for at in range(0, len(steps), size):
            yield replace(program, steps=steps[:at] + steps[at + size :])
        size //= 2
    for at, step in enumerate(steps):
        if step.kind in (Kind.FEED, Kind.DRAIN):
            for data in _shorter(step.data):
                smaller = Step(step.kind, step.number, data)
                yield replace(program, steps=(*steps[:at], smaller, *steps[at + 1 :]))


def _shorter(data: bytes) -> Iterator[bytes]:
    size = len(data) // 2
    while size:
        for at in range(0, len(data), size):
            yield data[:at] + data[at + size :]
        size //= 2
