"""Both sides, xenstore and guest RAM together: what can happen next in a scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from handoff.conversation.devicemodel_side import DeviceModelSide
from handoff.conversation.toolstack_side import ToolstackSide
from handoff.store_values import Offer, OfferState
from tests.protocol_explorer.dom0 import Dom0Shell
from tests.protocol_explorer.explorer import Explored, Label, Step, explore
from tests.protocol_explorer.state import TORN, Budget, Dom0, Nodes, Phase, Ram, State, Stubdom
from tests.protocol_explorer.stubdom import StubdomShell, gone


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is allowed to go wrong."""

    name: str
    budget: Budget
    tries: int = 1
    deadlines: bool = True
    """deadlines may pass at any moment; without them all must end by itself"""
    nodes_stay: bool = False


@dataclass(frozen=True, slots=True)
class Code:
    """What is explored; another code in place of the project's shows whether a law is kept."""

    devicemodel: type[DeviceModelSide] = DeviceModelSide
    toolstack: type[ToolstackSide] = ToolstackSide
    stubdom: type[StubdomShell] = StubdomShell
    dom0: type[Dom0Shell] = Dom0Shell


class Model:
    def __init__(self, scenario: Scenario, code: Code) -> None:
        self._stubdom = code.stubdom(code.devicemodel, deadlines=scenario.deadlines)
        self._dom0 = code.dom0(
            self._stubdom,
            code.toolstack,
            tries=scenario.tries,
            deadlines=scenario.deadlines,
            nodes_stay=scenario.nodes_stay,
        )
        self.start = State(Nodes(), Ram(), self._stubdom.started(), Dom0(), scenario.budget)

    def steps(self, state: State) -> Iterator[Step[State]]:
        yield from self._stubdom.steps(state)
        yield from self._dom0.steps(state)
        if state.old is not None and state.old.alive:
            yield from self._old_steps(state, state.old)
        budget = state.budget
        if budget.duplicates:
            yield from self._duplicates(spend(state, duplicates=budget.duplicates - 1))
        if budget.deaths and state.s.alive:
            poorer = spend(state, deaths=budget.deaths - 1)
            yield Label("S", "dies"), lambda: gone(poorer)
        if budget.damages:
            yield from self._damages(spend(state, damages=budget.damages - 1))
        if budget.interruptions:
            poorer = spend(state, interruptions=budget.interruptions - 1)
            yield from self._dom0.interrupted(poorer)

    def _old_steps(self, state: State, old: Stubdom) -> Iterator[Step[State]]:
        """S of the attempt before has other nodes, and the same RAM."""
        before = Dom0(generation=self._stubdom.machines[old.side].generation or 1)
        offer = OfferState(before.generation, Offer.WITHDRAWN).encode()
        seen = State(Nodes(offer), state.ram, old, before, Budget())
        for label, act in self._stubdom.steps(seen):
            yield label._replace(who="old S"), partial(after_old, state, act)

    def _duplicates(self, state: State) -> Iterator[Step[State]]:
        """A watch fires without a change."""
        s, dom0 = state.s, state.dom0
        if s.alive and not s.watch:
            again = state._replace(s=s._replace(watch=True))
            yield Label("event", "again, of S's watch of the offer"), lambda: again
        if dom0.phase is Phase.FOLLOWING:
            if not dom0.answer_watch:
                answer = state._replace(dom0=dom0._replace(answer_watch=True))
                yield Label("event", "again, of dom0's watch of the answer"), lambda: answer
            if not dom0.running_watch:
                running = state._replace(dom0=dom0._replace(running_watch=True))
                yield Label("event", "again, of dom0's watch of `running`"), lambda: running

    def _damages(self, state: State) -> Iterator[Step[State]]:
        """Bytes change until they are digested for the last time; then it is S's affair and T's."""
        ram = state.ram
        if state.dom0.phase > Phase.FOLLOWING or ram.checked == state.dom0.generation:
            return
        for name in ("staged", "placed", "rom"):
            if getattr(ram, name) > 0:
                damaged = state._replace(ram=ram._replace(**{name: TORN}))
                yield Label("RAM", "is damaged:", name), partial(spend, damaged)


def after_old(state: State, act: Callable[[], State]) -> State:
    seen = act()
    return state._replace(ram=seen.ram, old=seen.s if seen.s.alive else None)


def spend(state: State, **left: int) -> State:
    return state._replace(budget=state.budget._replace(**left))


def is_final(state: State) -> bool:
    """Nothing of this boot is left."""
    return state.dom0.phase in (Phase.OVER, Phase.DEAD) and not state.s.alive


AS_IT_IS = Code()


def explored(scenario: Scenario, code: Code = AS_IT_IS) -> Explored[State]:
    """All states of `scenario`. Raises: Counterexample."""
    model = Model(scenario, code)
    return explore(model.start, model.steps, is_final)
