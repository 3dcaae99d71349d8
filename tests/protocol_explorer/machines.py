"""States of the two sides as numbers: small to hash, and each step of a machine done once."""

from __future__ import annotations

from copy import copy
from typing import Any, Generic, TypeVar

from handoff.conversation.devicemodel_side import DeviceModelSide
from handoff.conversation.toolstack_side import ToolstackSide
from tests.protocol_explorer.explorer import Violation

S = TypeVar("S", DeviceModelSide, ToolstackSide)


class Machines(Generic[S]):
    """All states of one side that were met. Whoever asks for one must not change it."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[object, ...], int] = {}
        self._sides: list[S] = []
        self._steps: dict[tuple[int, object], tuple[int, tuple[Any, ...]]] = {}

    def __getitem__(self, number: int) -> S:
        return self._sides[number]

    def number(self, side: S) -> int:
        key = tuple(vars(side).values())
        if key not in self._numbers:
            self._numbers[key] = len(self._sides)
            self._sides.append(side)
        return self._numbers[key]

    def handle(self, number: int, event: Any) -> tuple[int, tuple[Any, ...]]:
        """The state after `event`, and the commands. Raises: Violation if the machine finds
        itself where it says it cannot be."""
        key = (number, event)
        if key not in self._steps:
            side = copy(self._sides[number])
            try:
                commands = side.handle(event)
            except AssertionError as error:
                raise Violation(f"a machine's own assertion fails at {event}: {error}") from error
            self._steps[key] = (self.number(side), commands)
        return self._steps[key]
