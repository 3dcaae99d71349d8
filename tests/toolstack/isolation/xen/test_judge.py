"""Verdicts on a real Xen follow from who was reached, from where."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from rich.console import Console

from toolstack.isolation.result import Result
from toolstack.isolation.stubdom.attempt import Group
from toolstack.isolation.stubdom.attempts import ATTEMPTS
from toolstack.isolation.stubdom.order import WORD, Place, Whom
from toolstack.isolation.verdict import Verdict
from toolstack.isolation.xen.judge import Cell, Judgement, cells, places_of_a_stub_domain
from toolstack.isolation.xen.simulated import Simulated
from toolstack.isolation.xen.table import as_json, show
from toolstack.isolation.xen.trial import Heard, Key

BY_NAME = {attempt.name: attempt for attempt in ATTEMPTS}
DONE, REFUSED = Result(True, "done"), Result(False, "EPERM")
HUNG = Result(False, "hung for 20 s", hung=True)
STUB, PROCESS = Place.STUB_DOMAIN, Place.PROCESS
PLACES = (STUB, Place.XEN_ALONE, PROCESS)
SIMULATED = {
    name: Simulated(name, "EACCES", Verdict.STOPPED) for name in ("read another's node",)
} | {"write its target's RAM": Simulated("write its target's RAM", "ok", Verdict.ALLOWED)}


def all_well() -> dict[Key, Result]:
    """As a sound host answers: all of the target's that may be, nothing else; all to root."""
    found: dict[Key, Result] = {}
    for attempt in ATTEMPTS:
        for whom in attempt.of:
            own = whom is Whom.TARGET and attempt.target.value != "forbidden"
            for place in PLACES[:1] if attempt.group is Group.XENSTORE else PLACES:
                found[place, attempt.name, whom] = DONE if own else REFUSED
            if not attempt.unproven:
                found[Place.CONTROL, attempt.name, whom] = DONE
    return found


def judged(results: Mapping[Key, Result], *harm: str) -> Judgement:
    return Judgement(cells(results, PLACES, SIMULATED), DONE, harm, 20.0)


def cell(
    name: str, of: Whom, result: Result, control: Result | None = DONE, place: Place = STUB
) -> Cell:
    return Cell(BY_NAME[name], place, of, result, control, None)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (cell("read RAM", Whom.TARGET, DONE), Verdict.ALLOWED),
        (cell("read RAM", Whom.TARGET, REFUSED), Verdict.DENIED),
        (cell("read RAM", Whom.TARGET, REFUSED, place=PROCESS), Verdict.DENIED),
        (cell("read RAM", Whom.BYSTANDER, REFUSED), Verdict.STOPPED),
        (cell("read RAM", Whom.BYSTANDER, DONE), Verdict.THROUGH),
        (cell("read RAM", Whom.DOM0, DONE, control=REFUSED), Verdict.THROUGH),
        (cell("read RAM", Whom.ABSENT, REFUSED, control=REFUSED), Verdict.UNPROVEN),
        (cell("read RAM", Whom.ABSENT, HUNG), Verdict.HUNG),
        (cell("unpause it", Whom.TARGET, DONE), Verdict.THROUGH),
        (cell("unpause it", Whom.TARGET, REFUSED), Verdict.STOPPED),
        (cell("write an HVM parameter", Whom.TARGET, DONE), Verdict.ALLOWED),
        (cell("write an HVM parameter", Whom.TARGET, REFUSED), Verdict.STOPPED),
        (cell("create an ioreq server", Whom.TARGET, REFUSED), Verdict.DENIED),
        (cell("create an ioreq server", Whom.TARGET, REFUSED, place=PROCESS), Verdict.STOPPED),
        (cell("list all domains", Whom.HOST, DONE), Verdict.THROUGH),
        (cell("destroy it", Whom.BYSTANDER, REFUSED, control=None), Verdict.UNPROVEN),
    ],
)
def test_the_verdict_of_a_cell(found: Cell, verdict: Verdict) -> None:
    assert found.verdict is verdict


def test_a_sound_host_is_well() -> None:
    assert judged(all_well()).well


def test_harm_that_is_seen_from_outside_counts_whatever_was_told() -> None:
    assert not judged(all_well(), "the bystander's RAM was changed").well


def test_an_attempt_of_which_nothing_was_told_is_no_success() -> None:
    for key in all_well():
        if key[0] is Place.CONTROL:
            continue
        results = all_well()
        del results[key]
        judgement = judged(results)
        assert not judgement.well
        (lost,) = judgement.with_verdict(Verdict.HUNG)
        assert (lost.place, lost.attempt.name, lost.of) == key


def test_a_line_that_is_broken_tells_nothing_and_the_others_are_heard() -> None:
    heard = Heard()
    line = {"kind": "result", "name": "read RAM", "place": "stub domain"}
    told = json.dumps(line | {"of": {"target": {"through": True, "what": "read"}}})
    for text in (f"{WORD}{told[:40]}", "[ 1.0] xen: words", f"{WORD}[]", f"[ 2.0] {WORD}{told}"):
        heard.hear(text)
    assert heard.results == {(STUB, "read RAM", Whom.TARGET): Result(True, "read")}
    assert not heard.over.is_set()
    heard.hear(f'{WORD}{{"kind": "end"}}')
    assert heard.over.is_set()


def shown(judgement: Judgement, width: int = 100) -> str:
    text = io.StringIO()
    show(judgement, Console(width=width, highlight=False, file=text))
    return text.getvalue()


@pytest.mark.parametrize("width", [100, 160])
def test_the_tables_fit_and_name_every_attempt_from_each_place(width: int) -> None:
    text = shown(judged(all_well()), width)
    assert max(map(len, text.splitlines())) <= width
    for attempt in ATTEMPTS:
        lines = [line for line in text.splitlines() if line.startswith(f"{attempt.name}  ")]
        assert len(lines) == (1 if attempt.group.value == "xenstore" else 3), attempt.name
    assert "0 GOT THROUGH" in text


def test_the_tables_show_what_got_through_and_the_simulations_verdict_beside() -> None:
    results = all_well()
    results[STUB, "read a node", Whom.BYSTANDER] = Result(True, "read the secret")
    text = shown(judged(results, "the bystander's RAM was changed"))
    (line,) = [line for line in text.splitlines() if line.startswith("read a node ")]
    assert "read the secret" in line
    assert line.rstrip().endswith("-, stopped")
    assert "allowed, GOT" in line
    assert "1 GOT THROUGH" in text
    assert "seen from dom0: the bystander's RAM was changed" in text


def test_the_json_has_an_object_for_each_domain_an_attempt_was_made_on() -> None:
    results = all_well()
    results[STUB, "write RAM", Whom.BYSTANDER] = DONE
    judgement = judged(results)
    whole = json.loads(as_json(judgement))
    assert not whole["well"]
    assert whole["through"] == ["write RAM: bystander, stub domain"]
    assert len(whole["attempts"]) == len(judgement.cells)
    assert whole["attempts"][0] == {
        "group": "guest RAM",
        "name": "read RAM",
        "promise": "no other guest's RAM",
        "place": "stub domain",
        "of": "target",
        "outcome": "done",
        "verdict": "allowed",
        "control": {"through": True, "outcome": "done"},
        "simulated": {
            "name": "write its target's RAM",
            "outcome": "ok",
            "verdict": "allowed",
        },
        "reason": None,
    }


def test_a_limit_that_root_cannot_take_away_is_said_to_have_stayed() -> None:
    judgement = replace(
        judged(all_well()),
        cells=cells(all_well(), (STUB, PROCESS), SIMULATED),
        reloaded=Result(False, "EPERM"),
    )
    assert judgement.well
    assert "xen-privcmd could not be loaded without its limit: EPERM" in shown(judgement)


def test_what_xen_alone_stops_is_unknown_where_nobody_told_that_the_limit_is_gone() -> None:
    found = cells(all_well(), places_of_a_stub_domain(REFUSED), SIMULATED)
    assert {cell.place for cell in found} == {STUB}
    alone = (Place.XEN_ALONE, "read RAM", Whom.BYSTANDER)
    lost = cells(all_well() | {alone: DONE}, places_of_a_stub_domain(None), SIMULATED)
    assert not Judgement(lost, None, (), 1.0).well
    untold = {key: what for key, what in all_well().items() if key[0] is not Place.XEN_ALONE}
    ended = cells(untold, places_of_a_stub_domain(None), SIMULATED)
    assert {cell.verdict for cell in ended if cell.place is Place.XEN_ALONE} == {Verdict.HUNG}
