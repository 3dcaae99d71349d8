"""The judgement of a real Xen for people, as tables, and for programs, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from toolstack.isolation.stubdom.attempt import DOMAINS, Attempt, Group
from toolstack.isolation.stubdom.order import Place, Whom
from toolstack.isolation.verdict import STYLES, Verdict, word
from toolstack.isolation.xen.judge import Cell, Judgement

HEADS: Final = {
    Place.STUB_DOMAIN: "from a stub domain, by its root: Linux and Xen are in the way",
    Place.XEN_ALONE: "the same once xen-privcmd was loaded without its limit: Xen alone",
    Place.PROCESS: "from a confined process of dom0; xenstored takes it for dom0 and is left out",
}
_NO_CALL: Final = "no such call"
_BAD_FIRST: Final = (
    *(Verdict.THROUGH, Verdict.DENIED, Verdict.HUNG),
    *(Verdict.UNPROVEN, Verdict.ALLOWED, Verdict.STOPPED),
)


def show(judgement: Judgement, console: Console) -> None:
    """A table a place and group, and the sum of it."""
    for place, head in HEADS.items():
        cells = [cell for cell in judgement.cells if cell.place is place]
        if not cells:
            continue
        console.print(Text(head, style="bold underline"))
        console.print()
        for group in Group:
            rows = _rows([cell for cell in cells if cell.attempt.group is group])
            if rows:
                console.print(_table(group, rows))
                console.print()
    for line in _summary(judgement):
        console.print(line)


Row = tuple[Attempt, tuple[Cell, ...]]


def _rows(cells: Sequence[Cell]) -> list[Row]:
    by_attempt = groupby(cells, key=lambda cell: cell.attempt)
    return [(attempt, tuple(together)) for attempt, together in by_attempt]


def _table(group: Group, rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False, title=group.value, title_justify="left", expand=False)
    table.title_style = "bold"
    table.add_column("attempt", no_wrap=True)
    columns = (Whom.HOST,) if group is Group.HOST else DOMAINS
    for whom in columns:
        table.add_column("outcome" if whom is Whom.HOST else whom.value, max_width=16)
    table.add_column("verdict", max_width=18)
    table.add_column("simulated", max_width=18)
    for attempt, cells in rows:
        found = {cell.of: cell for cell in cells}
        outcomes = [_outcome(found[whom]) if whom in found else Text("") for whom in columns]
        table.add_row(attempt.name, *outcomes, _verdict(cells), _simulated(cells))
    return table


def _outcome(cell: Cell) -> Text:
    """An errno, or that it was done; what was got by it is told of what should not have been."""
    done = cell.result.through and cell.verdict is not Verdict.THROUGH
    return Text("done" if done else cell.result.what, style=STYLES[cell.verdict])


def _verdict(cells: Sequence[Cell]) -> Text:
    """On the target, and the worst on all others."""
    own = [cell.verdict for cell in cells if cell.of is Whom.TARGET]
    others = [cell.verdict for cell in cells if cell.of is not Whom.TARGET]
    verdicts = [*own, min(others, key=_BAD_FIRST.index)]
    words = dict.fromkeys(word(verdict) for verdict in verdicts)
    return Text(", ".join(words), style=STYLES[min(verdicts, key=_BAD_FIRST.index)])


def _simulated(cells: Sequence[Cell]) -> str:
    own = [cell.simulated for cell in cells if cell.of is Whom.TARGET]
    others = [cell.simulated for cell in cells if cell.of is not Whom.TARGET]
    found = [*own, others[0]]
    if not any(found):
        return _NO_CALL
    words = ("-" if each is None else word(each.verdict) for each in found)
    return ", ".join(dict.fromkeys(words))


def _summary(judgement: Judgement) -> list[Text]:
    lines = []
    reasons: dict[str, list[str]] = {}
    for cell in judgement.with_verdict(Verdict.UNPROVEN):
        names = reasons.setdefault(cell.reason, [])
        if cell.attempt.name not in names:
            names.append(cell.attempt.name)
    if reasons:
        lines.append(Text("* not shown to get through otherwise:", style="yellow"))
    lines += [Text(f"  {', '.join(names)}: {reason}") for reason, names in reasons.items()]
    if judgement.reloaded is not None and not judgement.reloaded.through:
        what = judgement.reloaded.what
        lines.append(Text(f"xen-privcmd could not be loaded without its limit: {what}"))
    for text in judgement.harm:
        lines.append(Text(f"seen from dom0: {text}", style="bold red"))
    if not judgement.harm:
        lines.append(
            Text(
                "seen from dom0: the words lie in the target's RAM; "
                "of the bystander nothing changed"
            )
        )
    counts = ", ".join(
        f"{len(judgement.with_verdict(verdict))} {verdict.value}"
        for verdict in Verdict
        if judgement.with_verdict(verdict) or verdict is Verdict.THROUGH
    )
    style = "bold green" if judgement.well else "bold red"
    lines.append(
        Text(f"{len(judgement.cells)} attempts in {judgement.seconds:.0f} s: {counts}", style=style)
    )
    return lines


def as_json(judgement: Judgement) -> str:
    """One object: `attempts`, one for each domain it was made on, `harm`, `through`, `seconds`."""
    reloaded = judgement.reloaded
    return json.dumps(
        {
            "attempts": [_object(cell) for cell in judgement.cells],
            "reloaded": None if reloaded is None else reloaded.what,
            "harm": list(judgement.harm),
            "through": [
                f"{cell.attempt.name}: {cell.of.value}, {cell.place.value}"
                for cell in judgement.with_verdict(Verdict.THROUGH)
            ],
            "well": judgement.well,
            "seconds": round(judgement.seconds, 2),
        }
    )


def _object(cell: Cell) -> dict[str, Any]:
    control, simulated = cell.control, cell.simulated
    return {
        "group": cell.attempt.group.value,
        "name": cell.attempt.name,
        "promise": cell.attempt.promise.value,
        "place": cell.place.value,
        "of": cell.of.value,
        "outcome": cell.result.what,
        "verdict": cell.verdict.value,
        "control": (
            None if control is None else {"through": control.through, "outcome": control.what}
        ),
        "simulated": (
            None
            if simulated is None
            else {
                "name": simulated.name,
                "outcome": simulated.outcome,
                "verdict": simulated.verdict.value,
            }
        ),
        "reason": cell.reason or None,
    }
