"""Each side alone against a peer that writes what it likes, whenever it likes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from handoff.addresses import Gpa, GpaRange
from handoff.conversation import devicemodel_side as dm
from handoff.conversation import toolstack_side as ts
from handoff.store_values import RUNNING
from tests.protocol_explorer.dom0 import Dom0Shell
from tests.protocol_explorer.explorer import Explored, Label, Step, explore
from tests.protocol_explorer.model import AS_IT_IS, Code, is_final, spend
from tests.protocol_explorer.state import (
    REPORT,
    Budget,
    Dom0,
    Nodes,
    Phase,
    Ram,
    State,
    Stubdom,
    report_chunks,
)

OUTSIDE = replace(REPORT, rom=GpaRange(Gpa(0x4000000), 0xA00))
STAGES = ("discovered", "verified", "placed", "moved", "inserted", "ready", "failed")
ANSWERS = (None, b"?", b"2 ready", *(f"1 {stage}".encode() for stage in STAGES))
REPORTS = (
    (),
    (b"!",),
    (b"A" * 1900,) * 24,
    report_chunks(REPORT, 1),
    report_chunks(REPORT, 2),
    report_chunks(OUTSIDE, 1),
)
ERRORS = (None, b"\x1b[2J", b"x" * 4000, b"digest: damaged")
RUNNINGS = (None, b"walking", RUNNING)
OFFERS = (None, b"?", b"1 published", b"1 withdrawn", b"2 published")
OFFER_CHANGES = 4


class HostileStubdom:
    """dom0 reads anything from S, at any time; S never dies and never stops."""

    def __init__(self, code: Code) -> None:
        stubdoms = code.stubdom(code.devicemodel)

        class Dom0(code.dom0):  # type: ignore[name-defined,misc]
            def check_bytes(self, state: State) -> None:
                """S may do to the RAM of T what it likes: nothing is promised against S."""

        self._dom0: Dom0Shell = Dom0(stubdoms, code.toolstack)
        self.start = State(Nodes(), Ram(), Stubdom(-1), START, Budget())

    def steps(self, state: State) -> Iterator[Step[State]]:
        dom0 = state.dom0
        if dom0.phase is Phase.FOLLOWING and not dom0.todo:
            for value in ANSWERS:
                yield self._reads(state, ts.AnswerRead(value))
            for running in RUNNINGS:
                yield self._reads(state, ts.RunningRead(running))
        quiet = state._replace(dom0=dom0._replace(answer_watch=False, running_watch=False))
        for label, act in self._dom0.steps(quiet):
            if dom0.todo and isinstance(dom0.todo[0], ts.ReadReport) and not label.is_deadline:
                for report in REPORTS:
                    yield self._with(label, quiet, state.nodes._replace(report=report))
            elif dom0.todo and isinstance(dom0.todo[0], ts.ReadError) and not label.is_deadline:
                for error in ERRORS:
                    yield self._with(label, quiet, state.nodes._replace(error=error))
            else:
                yield label, act

    def _reads(self, state: State, event: ts.Event) -> Step[State]:
        return Label("dom0", "handles", event), lambda: self._dom0.handle(state, event)

    def _with(self, label: Label, state: State, nodes: Nodes) -> Step[State]:
        ((_, act),) = [
            step
            for step in self._dom0.steps(state._replace(nodes=nodes))
            if step[0].does == label.does
        ]
        found = nodes.report[:1] or nodes.error
        named = label._replace(detail=f"{label.detail}: {found!r}")
        return named, act


class HostileToolstack:
    """S reads any offer, at any time; dom0 never listens."""

    def __init__(self, code: Code) -> None:
        self._stubdom = code.stubdom(code.devicemodel)
        budget = Budget(duplicates=OFFER_CHANGES)
        self.start = State(Nodes(), Ram(staged=1), self._stubdom.started(), START, budget)

    def steps(self, state: State) -> Iterator[Step[State]]:
        yield from self._stubdom.steps(state)
        if state.budget.duplicates and state.s.alive:
            poorer = spend(state, duplicates=state.budget.duplicates - 1)
            for offer in OFFERS:
                label = Label("dom0", "writes direct-boot/state =", offer)
                yield label, partial(self._offer, poorer, offer)

    def _offer(self, state: State, offer: bytes | None) -> State:
        nodes = state.nodes._replace(offer=offer)
        return state._replace(nodes=nodes, s=state.s._replace(watch=True))

    def is_final(self, state: State) -> bool:
        """S is gone, or serves, which has no deadline."""
        s = state.s
        return not s.alive or (
            self._stubdom.machines[s.side].phase is dm.Phase.SERVING and not s.todo and not s.watch
        )


START = Dom0(phase=Phase.PUBLISHING)


def hostile_stubdom(code: Code = AS_IT_IS) -> Explored[State]:
    """Raises: Counterexample."""
    model = HostileStubdom(code)
    return explore(model.start, model.steps, is_final)


def hostile_toolstack(code: Code = AS_IT_IS) -> Explored[State]:
    """Raises: Counterexample."""
    model = HostileToolstack(code)
    return explore(model.start, model.steps, model.is_final)
