from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from handoff.conversation.devicemodel_side import Phase, RunStage
from handoff.stages import Stage
from tests.handoff.conversation_world import (
    GENERATION,
    OUTSIDE,
    REPORT,
    RUNNING,
    World,
    chunks,
)

STEPS = 110
"""More than the way to success takes."""


def fail_next(world: World) -> None:
    """The next stage that is done fails."""
    for number in range(100):
        if not world.alive or world.over:
            return
        if world.devicemodel_todo and isinstance(world.devicemodel_todo[0], RunStage):
            world.devicemodel_works(fails=True)
            return
        world.step(number)


def write(**nodes: object) -> Callable[[World], None]:
    """A compromised device model writes what it likes."""

    def fault(world: World) -> None:
        for name, value in nodes.items():
            setattr(world, name, value)

    return fault


def duplicate(world: World) -> None:
    if world.alive:
        world.devicemodel_looks()
        world.devicemodel_looks()
    if not world.toolstack_todo:
        world.toolstack_reads_answer()
    if not world.toolstack_todo:
        world.toolstack_reads_answer()


def lose(world: World) -> None:
    """The toolstack hears nothing until the device model has done all it can."""
    for _ in range(30):
        if world.alive:
            world.devicemodel_looks()
        if world.devicemodel_can_work:
            world.devicemodel_works()


FAULTS: dict[str, tuple[Callable[[World], None], set[str]]] = {
    "nothing": (lambda world: None, {"unpaused"}),
    "events twice": (duplicate, {"unpaused"}),
    "events lost": (lose, {"unpaused"}),
    "a stage fails": (fail_next, {"ReportedFailure", "unpaused"}),
    "device model killed": (World.kill, {"DeviceModelDied", "unpaused"}),
    "offer withdrawn": (World.withdraw, {"DeviceModelDied", "StageTimeout", "unpaused"}),
    "offer removed": (write(offer=None), {"DeviceModelDied", "StageTimeout", "unpaused"}),
    "offer replaced": (
        write(offer=b"8 published"),
        {"PeerMisbehaved", "DeviceModelDied", "unpaused"},
    ),
    "offer garbled": (write(offer=b"?"), {"DeviceModelDied", "unpaused"}),
    "answer of another attempt": (write(answer=b"6 ready"), {"PeerMisbehaved", "unpaused"}),
    "answer garbled": (write(answer=b"\xff" * 3000), {"PeerMisbehaved", "unpaused"}),
    "stage goes back": (write(answer=b"7 discovered"), {"PeerMisbehaved", "unpaused"}),
    "failed without a reason": (write(answer=b"7 failed"), {"PeerMisbehaved", "unpaused"}),
    "ready at once": (
        write(answer=b"7 ready", running=RUNNING),
        {"PeerMisbehaved", "unpaused"},
    ),
    "ready at once, report oversize": (
        write(answer=b"7 ready", running=RUNNING, report=(b"A" * 1900,) * 24),
        {"PeerMisbehaved", "unpaused"},
    ),
    "ready at once, report outside RAM": (
        write(answer=b"7 ready", running=RUNNING, report=chunks(OUTSIDE)),
        {"PeerMisbehaved", "unpaused"},
    ),
    "ready at once, report of another attempt": (
        write(answer=b"7 ready", running=RUNNING, report=chunks(REPORT, GENERATION + 1)),
        {"PeerMisbehaved", "unpaused"},
    ),
    "running at once": (write(running=RUNNING), {"unpaused"}),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_fault_at_any_step_ends_in_a_checked_unpause_or_a_reason(fault: str) -> None:
    happen, expected = FAULTS[fault]
    outcomes = set()
    for at in range(STEPS):
        world = World()
        world.publish()
        for number in range(at):
            if not world.over:
                world.step(number)
        happen(world)
        world.finish(at)
        outcomes.add(world.outcome)
    assert outcomes == expected


def test_an_offer_that_never_comes_ends_with_the_deadline() -> None:
    world = World()
    world.finish()
    assert world.outcome == "StageTimeout"
    assert world.devicemodel.phase is Phase.WAITING


def test_a_device_model_that_serves_leaves_in_peace_when_the_guest_is_gone() -> None:
    world = World()
    world.publish()
    world.finish()
    assert world.unpaused
    world.withdraw()
    world.devicemodel_looks()
    world.devicemodel_works()
    assert not world.alive
    assert world.told is Stage.READY


STAGES = [b"7 verified", b"7 inserted", b"7 ready", b"7 failed"]
ANSWERS = [None, b"", b"6 ready", *STAGES, b"8 failed"]
REPORTS = [(), (b"A" * 1900,) * 24, (b"!",), chunks(REPORT), chunks(REPORT, 6), chunks(OUTSIDE)]


class AnyInterleaving(RuleBasedStateMachine):
    """Who acts next is anybody's guess, and the stub domain may be a hostile one."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize()
    def published(self) -> None:
        self.world.publish()

    @precondition(lambda self: self.world.alive)
    @rule()
    def devicemodel_looks(self) -> None:
        self.world.devicemodel_looks()

    @precondition(lambda self: self.world.devicemodel_can_work)
    @rule()
    def devicemodel_works(self) -> None:
        self.world.devicemodel_works()

    @precondition(lambda self: self.world.devicemodel_can_work)
    @rule(steps=st.integers(2, 20))
    def devicemodel_works_on(self, steps: int) -> None:
        for _ in range(steps):
            if self.world.devicemodel_can_work:
                self.world.devicemodel_works()

    @precondition(
        lambda self: (
            any(isinstance(c, RunStage) for c in [*self.world.devicemodel_todo][:1])
            and self.world.alive
        )
    )
    @rule()
    def stage_fails(self) -> None:
        self.world.devicemodel_works(fails=True)

    @precondition(lambda self: not self.world.toolstack_todo)
    @rule()
    def toolstack_reads_answer(self) -> None:
        self.world.toolstack_reads_answer()

    @precondition(lambda self: not self.world.toolstack_todo)
    @rule()
    def toolstack_reads_running(self) -> None:
        self.world.toolstack_reads_running()

    @precondition(lambda self: self.world.toolstack_todo)
    @rule()
    def toolstack_works(self) -> None:
        self.world.toolstack_works()

    @precondition(lambda self: not self.world.toolstack_todo)
    @rule()
    def deadline_passes(self) -> None:
        self.world.deadline_passes()

    @rule()
    def killed(self) -> None:
        self.world.kill()

    @precondition(
        lambda self: not (self.world.alive or self.world.death_noticed or self.world.toolstack_todo)
    )
    @rule()
    def death_is_noticed(self) -> None:
        self.world.death_is_noticed()

    @rule(offer=st.sampled_from([None, b"7 published", b"7 withdrawn", b"8 published", b"?"]))
    def offer_changes(self, offer: bytes | None) -> None:
        self.world.offer = offer

    @rule(answer=st.sampled_from(ANSWERS))
    def hostile_answer(self, answer: bytes | None) -> None:
        self.world.answer = answer

    @rule(report=st.sampled_from(REPORTS))
    def hostile_report(self, report: tuple[bytes, ...]) -> None:
        self.world.report = report

    @rule(running=st.sampled_from([None, RUNNING, b"walking"]))
    def hostile_running(self, running: bytes | None) -> None:
        self.world.running = running

    @rule(error=st.sampled_from([None, b"placement: no room", b"\x1b[2J", b"x" * 4000]))
    def hostile_error(self, error: bytes | None) -> None:
        self.world.error = error

    @invariant()
    def one_end(self) -> None:
        assert not (self.world.unpaused and self.world.given_up is not None)

    def teardown(self) -> None:
        self.world.finish()


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(max_examples=100, stateful_step_count=40)
