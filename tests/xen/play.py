"""A scenario as a test plays it: by its function, which the host never calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.xen.dom0.leaks import as_text
from tests.xen.machine import Machine
from tests.xen.protocol import Answer, Outcome

DEADLINE_S: Final = 300.0


class Play:
    """Runs scenarios in a machine's dom0."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def __call__(
        self, scenario: Callable[..., Any], *, deadline_s: float = DEADLINE_S, **arguments: Any
    ) -> Any:
        """What it returned. The test fails where it did not, or left anything behind."""
        answer = self.answer(scenario, deadline_s=deadline_s, **arguments)
        if answer.outcome is not Outcome.DONE:
            self._fail(f"{answer.outcome}: {answer.reason}")
        if answer.left:
            self._fail(f"left behind: {as_text(answer.left)}")
        return answer.facts

    def answer(
        self, scenario: Callable[..., Any], *, deadline_s: float = DEADLINE_S, **arguments: Any
    ) -> Answer:
        """What became of it, whatever that is."""
        name = f"{scenario.__module__}.{scenario.__qualname__}"
        return self._machine.run(name, deadline_s, **arguments)

    def _fail(self, reason: str) -> None:
        pytest.fail(f"{reason}\nthe console is in {self._machine.console}", pytrace=False)
