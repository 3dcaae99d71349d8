"""State diagrams of both sides, drawn by driving the machines with every kind of event."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any

from handoff.conversation import devicemodel_side as dm
from handoff.conversation import toolstack_side as ts
from handoff.errors import PlacementError, XenstoreUnavailable
from handoff.stages import ORDER, Stage, may_read, next_stage
from handoff.store_values import RUNNING, Answer
from tests.protocol_explorer.hostile import OUTSIDE
from tests.protocol_explorer.state import RAM_OF_T, REPORT, report_chunks
from tests.protocol_explorer.stubdom import NO_ROOM, OFFER

Kind = tuple[str, Any]
"""What a kind of event is called, and one of it."""


def stubdom_diagram() -> str:
    """S, phase by phase."""
    return _drawn(dm.DeviceModelSide(), _stubdom_events, lambda side, _: side.phase.name.lower())


def _stubdom_events(side: dm.DeviceModelSide) -> Iterator[Kind]:
    if side.phase is dm.Phase.ENDED:
        return
    yield "no offer", dm.OfferStateRead(None)
    yield "published", dm.OfferStateRead(b"1 published")
    yield "withdrawn", dm.OfferStateRead(b"1 withdrawn")
    if side.generation is not None:
        yield "another attempt's offer", dm.OfferStateRead(b"2 published")
    yield "no known form", dm.OfferStateRead(b"?")
    if side.phase is dm.Phase.READING:
        yield "OfferRead", dm.OfferRead(OFFER)
        yield "OfferRead, malformed", dm.OfferRead(dm.OfferNodes(None, None, (), None, None))
    if side.phase is dm.Phase.WORKING:
        stage = next_stage(side.done)
        assert stage is not None
        yield f"StageDone {'ready' if stage is ORDER[-1] else 'before ready'}", dm.StageDone(stage)
    if side.phase in (dm.Phase.READING, dm.Phase.WORKING):
        yield "StageFailed", dm.StageFailed(NO_ROOM)


def dom0_diagram() -> str:
    """dom0, by what it has asked for and got."""
    return _drawn(ts.ToolstackSide(1, RAM_OF_T), _dom0_events, _dom0_name)


def _dom0_events(side: ts.ToolstackSide) -> Iterator[Kind]:
    if side.over:
        return
    failed = side.stage is Stage.FAILED
    for stage in (Stage.DISCOVERED, Stage.INSERTED, Stage.READY, Stage.FAILED):
        label = stage.value if may_read(stage, side.stage) else "a step back"
        yield label, ts.AnswerRead(Answer(1, stage).encode())
    yield "another attempt's answer", ts.AnswerRead(b"2 ready")
    yield "running", ts.RunningRead(RUNNING)
    yield "not running", ts.RunningRead(None)
    if side._reading_report and side.report is None and not failed:
        yield "ReportRead", ts.ReportRead(report_chunks(REPORT, 1))
        yield "ReportRead, malformed or outside RAM", ts.ReportRead(report_chunks(OUTSIDE, 1))
    if side.report is not None and not side._prepared and not failed:
        yield "MachinePrepared", ts.MachinePrepared()
    if failed:
        yield "ErrorRead", ts.ErrorRead(PlacementError("no room").line().encode())
    yield "DeviceModelEnded", ts.DeviceModelEnded("killed")
    yield "DeadlinePassed", ts.DeadlinePassed(30)
    yield "Lost", ts.Lost(XenstoreUnavailable("gone"))


def _dom0_name(side: ts.ToolstackSide, last: tuple[Any, ...]) -> str:
    if side.over:
        return "unpaused" if ts.Unpause() in last else "given_up"
    if side.stage is Stage.FAILED:
        return "asked_why"
    if side._prepared:
        return "prepared"
    if side.report is not None:
        return "report_checked"
    return "asked_for_report" if side._reading_report else "following"


def _drawn(
    start: Any,
    events: Callable[[Any], Iterable[Kind]],
    name: Callable[[Any, tuple[Any, ...]], str],
) -> str:
    """The machine as a Mermaid state diagram; events that change nothing are left out."""
    waiting = deque([start])
    seen = {repr(vars(start))}
    edges: dict[tuple[str, str, str], list[str]] = {}
    while waiting:
        side = waiting.popleft()
        for label, event in events(side):
            after = deepcopy(side)
            commands = after.handle(event)
            said = [type(c).__name__ for c in commands if not isinstance(c, ts.Reached)]
            here, there = name(side, ()), name(after, commands)
            if said or here != there:
                told = ", ".join(said) or "-"
                known = edges.setdefault((here, there, told), [])
                known += [label] if label not in known else []
            if repr(vars(after)) not in seen:
                seen.add(repr(vars(after)))
                waiting.append(after)
    lines = ["stateDiagram-v2", f"    [*] --> {name(start, ())}"]
    for (here, there, told), labels in edges.items():
        lines.append(f"    {here} --> {there}: {' | '.join(labels)} / {told}")
    return "\n".join(lines)
