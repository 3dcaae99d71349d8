"""Bugs planted into the two sides and their shells, one changed line each."""

from __future__ import annotations

import inspect
import sys
import textwrap
from dataclasses import dataclass
from typing import TypeVar

from handoff.conversation.devicemodel_side import DeviceModelSide
from handoff.conversation.toolstack_side import ToolstackSide
from tests.protocol_explorer.dom0 import Dom0Shell
from tests.protocol_explorer.model import Code, Scenario, explored
from tests.protocol_explorer.scenarios import (
    DEATH_HEARD,
    DEATHS,
    HOSTILE_DOM0,
    HOSTILE_S,
    LEFTOVERS,
    QUIET,
    run,
)
from tests.protocol_explorer.state import Budget
from tests.protocol_explorer.stubdom import StubdomShell

T = TypeVar("T", bound=type)


@dataclass(frozen=True, slots=True)
class Bug:
    """`old` is replaced by `new` in the source of `where`."""

    name: str
    where: type
    old: str
    new: str
    scenario: Scenario | str
    law: str
    """what the explorer says when it finds it"""

    def code(self) -> Code:
        return Code(
            self._planted(DeviceModelSide),
            self._planted(ToolstackSide),
            self._planted(StubdomShell),
            self._planted(Dom0Shell),
        )

    def _planted(self, kind: T) -> T:
        if kind is not self.where:
            return kind
        source = textwrap.dedent(inspect.getsource(kind))
        assert source.count(self.old) == 1, f"{self.old!r} is not one place of {kind.__name__}"
        # In a copy of the module's names, so that events are the same classes.
        names = dict(vars(sys.modules[kind.__module__]))
        exec("from __future__ import annotations\n" + source.replace(self.old, self.new), names)
        planted: T = names[kind.__name__]
        return planted


DAMAGED = Scenario("RAM is damaged", Budget(damages=1), deadlines=False)
RETRIED = Scenario("deadlines pass", Budget(), tries=2)


def find(bug: Bug) -> None:
    """Raises: Counterexample."""
    if isinstance(bug.scenario, Scenario):
        explored(bug.scenario, bug.code())
    else:
        run(bug.scenario, bug.code())


BUGS = (
    Bug(
        "dom0 takes the answer of another attempt",
        ToolstackSide,
        "if answer.generation != self.generation:",
        "if False:",
        HOSTILE_S,
        "unpaused, but '1 ready' was not read",
    ),
    Bug(
        "dom0 takes the report of another attempt",
        ToolstackSide,
        "if generation != self.generation:",
        "if False:",
        HOSTILE_S,
        "unpaused, but no machine has this attempt's report",
    ),
    Bug(
        "dom0 does not check the report",
        ToolstackSide,
        "check_report(report, self._ram)",
        "pass",
        HOSTILE_S,
        "a machine is started with an unchecked report",
    ),
    Bug(
        "dom0 unpauses on running alone",
        ToolstackSide,
        "if not (self.stage is Stage.READY and self._prepared and self._running):",
        "if not self._running:",
        QUIET,
        "unpaused, but '1 ready' was not read",
    ),
    Bug(
        "dom0 does not wait for running",
        ToolstackSide,
        "and self._prepared and self._running)",
        "and self._prepared)",
        QUIET,
        "unpaused, but 'running' was not read",
    ),
    Bug(
        "dom0 does not wait for the machine",
        ToolstackSide,
        "and self._prepared and self._running)",
        "and self._running)",
        QUIET,
        "unpaused, but no machine has this attempt's report",
    ),
    Bug(
        "dom0 does not wait for ready",
        ToolstackSide,
        "self.stage is Stage.READY and self._prepared",
        "self._prepared",
        QUIET,
        "unpaused, but '1 ready' was not read",
    ),
    Bug(
        "dom0 lets S go back",
        ToolstackSide,
        "if not may_read(answer.stage, self.stage):",
        "if False:",
        HOSTILE_S,
        "a run without an end",
    ),
    Bug(
        "dom0 starts a machine for each report",
        ToolstackSide,
        "if answer.stage in (Stage.INSERTED, Stage.READY) and not self._reading_report:",
        "self.report = None\n        if answer.stage in (Stage.INSERTED, Stage.READY):",
        QUIET,
        "two machines are started in one attempt",
    ),
    Bug(
        "dom0 does not hear that S died",
        ToolstackSide,
        "case DeviceModelEnded(how):",
        "case DeviceModelEnded(how) if self.stage is not None:\n                return ()\n"
        "            case DeviceModelEnded(how):",
        DEATH_HEARD,
        "nothing can happen, and this is no end",
    ),
    Bug(
        "dom0 ignores its deadline",
        ToolstackSide,
        "raise StageTimeout(self.awaited, seconds, last_words=last_words)",
        "return ()",
        HOSTILE_S,
        "a run that no deadline ends",
    ),
    Bug(
        "S does not check for a withdrawal",
        DeviceModelSide,
        "return self._withdrawn(f\"the offer's state became",
        "return () if True else self._withdrawn(f\"the offer's state became",
        DEATHS,
        "after it read that its offer is no more",
    ),
    Bug(
        "S does not see that the offer was removed",
        DeviceModelSide,
        "return () if self.phase is Phase.WAITING else",
        "return () if True else",
        HOSTILE_DOM0,
        "after it read that its offer is no more",
    ),
    Bug(
        "S goes on with an offer of another attempt",
        DeviceModelSide,
        "if state == OfferState(self._generation, Offer.PUBLISHED):",
        "if state.offer is Offer.PUBLISHED:",
        HOSTILE_DOM0,
        "after it read that its offer is no more",
    ),
    Bug(
        "S takes a withdrawn offer",
        DeviceModelSide,
        "if state.offer is Offer.WITHDRAWN:",
        "if False:",
        LEFTOVERS,
        "S takes b'1 withdrawn' for an offer",
    ),
    Bug(
        "S does a stage in silence",
        DeviceModelSide,
        "return (tell, RunStage(following))",
        "return (RunStage(following),)",
        QUIET,
        "S tells ready after None",
    ),
    Bug(
        "S goes on after a failure",
        DeviceModelSide,
        "case StageFailed(error):\n                return self._fail(error)",
        "case StageFailed(error):\n                return self._stage_done(next_stage(self.done))",
        DAMAGED,
        "unpaused, but nobody digested the bytes again",
    ),
    Bug(
        "S is ready without a last look at the offer",
        StubdomShell,
        "if tell.stage is Stage.READY and not offered:\n            return gone(state)",
        "",
        DEATHS,
        "S is ready for b'1 withdrawn'",
    ),
    Bug(
        "S does not digest again before ready",
        StubdomShell,
        "if (ram.placed, ram.rom) != (generation, generation):",
        "if False:",
        DAMAGED,
        "unpaused with bytes that are not in place",
    ),
    Bug(
        "S forgets the BIOS extension when it digests again",
        StubdomShell,
        "if (ram.placed, ram.rom) != (generation, generation):",
        "if ram.placed != generation:",
        DAMAGED,
        "unpaused with bytes that are not in place",
    ),
    Bug(
        "dom0 tries again before the old S is dead",
        Dom0Shell,
        "return gone(state)",
        "return gone(state)._replace(old=state.s if state.s.half else None)",
        RETRIED,
        "unpaused with bytes that are not in place",
    ),
)
