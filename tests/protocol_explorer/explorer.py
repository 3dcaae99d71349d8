"""Every state that can be reached, breadth first; the shortest way to one that must not be."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)


class Violation(Exception):
    """A law was broken by the step that raises this."""


class Label(NamedTuple):
    """What happens in one step."""

    who: str
    does: str
    detail: object = ""
    restarts_clock: bool = False
    """dom0 grants a new deadline in this step"""
    is_deadline: bool = False

    def __str__(self) -> str:
        return f"{self.who:7} {self.does} {self.detail}".rstrip()


Step = tuple[Label, Callable[[], S]]
"""Its second part makes the state after it, or raises Violation."""


@dataclass(frozen=True, slots=True)
class Counterexample(Exception):
    """The shortest run that breaks a law."""

    law: str
    run: tuple[Label, ...]

    def __str__(self) -> str:
        steps = "\n".join(f"{number:4}  {label}" for number, label in enumerate(self.run, 1))
        return f"{self.law}, after {len(self.run)} steps:\n{steps}"


@dataclass(frozen=True, slots=True)
class Explored(Generic[S]):
    """What was reached. Steps that change nothing are not counted."""

    states: int
    steps: int
    final: tuple[S, ...]
    depth: int
    """steps to the state that is farthest from the start"""


def explore(
    start: S, steps: Callable[[S], Iterator[Step[S]]], is_final: Callable[[S], bool]
) -> Explored[S]:
    """All that is reachable from `start`.

    A state without a step to another one must be final; and no run may go on for ever: where
    states can repeat, no step among them restarts the clock, and each of them is left when the
    deadline passes.

    Raises: Counterexample.
    """
    number: dict[S, int] = {start: 0}
    came_from: list[tuple[int, Label] | None] = [None]
    depth = [0]
    following: list[list[tuple[int, Label]]] = []
    final: list[S] = []
    waiting = deque([start])
    count = 0

    def run_to(state: int, *last: Label) -> tuple[Label, ...]:
        run = list(reversed(last))
        step = came_from[state]
        while step is not None:
            run.append(step[1])
            step = came_from[step[0]]
        return tuple(reversed(run))

    while waiting:
        state = waiting.popleft()
        here = number[state]
        onward: list[tuple[int, Label]] = []
        for label, act in steps(state):
            try:
                after = act()
            except Violation as broken:
                raise Counterexample(str(broken), run_to(here, label)) from broken
            if after == state:
                continue
            there = number.get(after)
            if there is None:
                there = number[after] = len(number)
                came_from.append((here, label))
                depth.append(depth[here] + 1)
                waiting.append(after)
            onward.append((there, label))
        following.append(onward)
        count += len(onward)
        if is_final(state):
            final.append(state)
        elif not onward:
            raise Counterexample("nothing can happen, and this is no end", run_to(here))
    for together in _components(following):
        members = set(together)
        for one in together:
            for there, label in following[one]:
                if there in members and label.restarts_clock:
                    raise Counterexample("a run without an end", run_to(one, label))
            if not any(label.is_deadline and to not in members for to, label in following[one]):
                raise Counterexample("a run that no deadline ends", run_to(one))
    return Explored(len(number), count, tuple(final), depth[-1])


def _components(following: list[list[tuple[int, Label]]]) -> Iterator[list[int]]:
    """Sets of states, more than one, that can be reached from each other.

    Source: Tarjan, Depth-First Search and Linear Graph Algorithms; without recursion.
    """
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    open_states: list[int] = []
    is_open: set[int] = set()
    for root in range(len(following)):
        if root in index:
            continue
        work = [(root, iter(following[root]))]
        index[root] = low[root] = len(index)
        open_states.append(root)
        is_open.add(root)
        while work:
            state, rest = work[-1]
            for there, _ in rest:
                if there not in index:
                    index[there] = low[there] = len(index)
                    open_states.append(there)
                    is_open.add(there)
                    work.append((there, iter(following[there])))
                    break
                if there in is_open:
                    low[state] = min(low[state], index[there])
            else:
                work.pop()
                if work:
                    before = work[-1][0]
                    low[before] = min(low[before], low[state])
                if low[state] == index[state]:
                    found: list[int] = []
                    while not found or found[-1] != state:
                        found.append(open_states.pop())
                        is_open.discard(found[-1])
                    if len(found) > 1:
                        yield found
