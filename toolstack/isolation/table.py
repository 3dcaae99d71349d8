"""The judgement for people, as tables, and for programs, as JSON."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console, RenderableType
from rich.console import Group as Stack
from rich.table import Table
from rich.text import Text

from toolstack.isolation.ablation import Weight
from toolstack.isolation.attempt import Group
from toolstack.isolation.judge import Judgement, Row
from toolstack.isolation.promises import Barrier
from toolstack.isolation.result import Result
from toolstack.isolation.verdict import STYLES, Verdict, word


def show(judgement: Judgement, console: Console) -> None:
    """The rows, a table a group, and the sum of it."""
    console.print(Text("an attempt is first made with nothing in the way, and gets through;"))
    console.print(Text("behind: what stops it once seccomp is taken away;"))
    console.print(Text("on a ring: over the shared page of --stubdom-xenstore ring\n"))
    for group in Group:
        rows = [row for row in judgement.rows if row.group is group]
        console.print(_table(group, rows))
    console.print(_summary(judgement))


def _table(group: Group, rows: list[Row]) -> RenderableType:
    table = Table(box=None, pad_edge=False, title=group.value, title_justify="left", expand=False)
    table.title_style = "bold"
    process = any(row.behind is not None for row in rows)
    ring = any(row.on_a_ring is not None for row in rows)
    table.add_column("attempt", no_wrap=True)
    table.add_column("stopped by", max_width=20)
    table.add_column("outcome", max_width=18)
    if process:
        table.add_column("behind", max_width=12)
    if ring:
        table.add_column("on a ring", max_width=18)
    table.add_column("verdict", max_width=11)
    for row in rows:
        verdict = row.verdict
        cells = [row.name, _barrier(row.barrier), row.confined.what]
        if process:
            cells.append(_behind(row.behind))
        if ring:
            cells.append(_on_a_ring(row))
        table.add_row(*cells, Text(word(verdict), style=STYLES[verdict]))
    return Stack(table, Text(""))


def _barrier(barrier: Barrier | None) -> str:
    return "its right" if barrier is None else barrier.value


def _behind(result: Result | None) -> str:
    if result is None:
        return ""
    return "nothing" if result.through else result.what


def _on_a_ring(row: Row) -> str:
    if row.on_a_ring is None:
        return ""
    return "the same" if row.on_a_ring.what == row.confined.what else row.on_a_ring.what


def _summary(judgement: Judgement) -> RenderableType:
    lines: list[Text] = []
    reasons: dict[str, list[str]] = {}
    for row in judgement.with_verdict(Verdict.UNPROVEN):
        reasons.setdefault(row.reason, []).append(row.name)
    if reasons:
        lines.append(Text("* not shown to get through otherwise:", style="yellow"))
    for reason, together in reasons.items():
        lines.append(Text(f"  {', '.join(together)}: {reason}"))
    if judgement.missing:
        names = ", ".join(layer.value for layer in judgement.missing)
        lines.append(Text(f"layers that are missing here: {names}", style="yellow"))
    fared = judgement.bystander
    lines.append(
        Text(f"bystander: {fared.harm}", style="bold red")
        if fared.harm
        else Text(
            f"bystander: {fared.turns} turns of its own work meanwhile, the longest"
            f" {fared.longest_s * 1000:.0f} ms; its nodes and RAM are as they were"
        )
    )
    counts = ", ".join(
        f"{len(judgement.with_verdict(verdict))} {verdict.value}"
        for verdict in Verdict
        if judgement.with_verdict(verdict) or verdict is Verdict.THROUGH
    )
    style = "bold green" if judgement.well else "bold red"
    lines.append(
        Text(f"{len(judgement.rows)} attempts in {judgement.seconds:.0f} s: {counts}", style=style)
    )
    return Stack(*lines)


def show_weights(weights: tuple[Weight, ...], console: Console) -> None:
    """What each layer carries."""
    table = Table(box=None, pad_edge=False, title="layers taken away, one at a time")
    table.title_style, table.title_justify = "bold", "left"
    table.add_column("layer", no_wrap=True)
    table.add_column("through without it", ratio=1)
    table.add_column("it alone stops", ratio=1)
    table.expand = True
    for weight in weights:
        table.add_row(
            weight.layer.value,
            _names(weight.through) if weight.applied else "not there in the first place",
            _names(weight.alone),
            style=None if weight.carries or not weight.applied else "bold red",
        )
    console.print(table)


def _names(names: tuple[str, ...]) -> str:
    if not names:
        return "nothing: others stand behind"
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


def as_json(judgement: Judgement, weights: tuple[Weight, ...]) -> str:
    """One object: `attempts`, `bystander`, `missing`, `through`, `seconds`; `layers` if ablated."""
    whole: dict[str, Any] = {
        "attempts": [_row_object(row) for row in judgement.rows],
        "bystander": {
            "turns": judgement.bystander.turns,
            "longest_s": round(judgement.bystander.longest_s, 4),
            "harm": judgement.bystander.harm or None,
        },
        "missing": [layer.value for layer in judgement.missing],
        "through": [row.name for row in judgement.with_verdict(Verdict.THROUGH)],
        "well": judgement.well,
        "seconds": round(judgement.seconds, 2),
    }
    if weights:
        whole["layers"] = [
            {
                "layer": weight.layer.value,
                "applied": weight.applied,
                "through_without": list(weight.through),
                "alone_stops": list(weight.alone),
            }
            for weight in weights
        ]
    return json.dumps(whole)


def _row_object(row: Row) -> dict[str, Any]:
    return {
        "group": row.group.value,
        "name": row.name,
        "promise": row.promise.value,
        "barrier": None if row.barrier is None else row.barrier.value,
        "outcome": row.confined.what,
        "verdict": row.verdict.value,
        "control": _result_object(row.control),
        "without_seccomp": _result_object(row.behind),
        "on_a_ring": _result_object(row.on_a_ring),
        "reason": row.reason or None,
    }


def _result_object(result: Result | None) -> dict[str, Any] | None:
    if result is None:
        return None
    return {"through": result.through, "outcome": result.what}
