"""Verdicts follow from what happened with and without the barriers."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from handoff.confinement import Layer
from toolstack.isolation.ablation import Weight
from toolstack.isolation.attempt import Group
from toolstack.isolation.bystander import Wellbeing
from toolstack.isolation.judge import Judgement, Row
from toolstack.isolation.promises import Beyond, Promise
from toolstack.isolation.result import Result
from toolstack.isolation.table import as_json, show, show_weights
from toolstack.isolation.verdict import Verdict

GOT = Result(True, "read the secret")
REFUSED = Result(False, "EPERM")
STOPPED = Row(
    Group.FILES, "open a file", Promise.FILES, Layer.SECCOMP, "", GOT, REFUSED, Result(True, "read")
)
RIGHT = replace(STOPPED, name="its own", barrier=None, confined=GOT, behind=None)
UNHARMED = Wellbeing(10, 0.02, "")


def judged(*rows: Row, bystander: Wellbeing = UNHARMED) -> Judgement:
    return Judgement(rows, (), bystander, 1.5)


@pytest.mark.parametrize(
    ("row", "verdict", "well"),
    [
        (STOPPED, Verdict.STOPPED, True),
        (RIGHT, Verdict.ALLOWED, True),
        (replace(STOPPED, control=REFUSED), Verdict.UNPROVEN, True),
        (replace(STOPPED, control=None, unproven="no switch"), Verdict.UNPROVEN, True),
        (replace(STOPPED, confined=GOT), Verdict.THROUGH, False),
        (replace(STOPPED, control=REFUSED, confined=GOT), Verdict.THROUGH, False),
        (replace(RIGHT, confined=REFUSED), Verdict.DENIED, False),
        (replace(STOPPED, confined=Result(False, "hung", hung=True)), Verdict.HUNG, False),
        (replace(RIGHT, confined=Result(True, "hung", hung=True)), Verdict.HUNG, False),
        (replace(STOPPED, on_a_ring=REFUSED), Verdict.STOPPED, True),
        (replace(STOPPED, on_a_ring=GOT), Verdict.THROUGH, False),
        (replace(RIGHT, on_a_ring=REFUSED), Verdict.DENIED, False),
        (replace(STOPPED, on_a_ring=Result(False, "hung", hung=True)), Verdict.HUNG, False),
    ],
)
def test_the_verdict_of_a_row(row: Row, verdict: Verdict, well: bool) -> None:
    assert row.verdict is verdict
    assert judged(STOPPED, row).well is well


def test_a_harmed_bystander_is_not_well_whatever_the_rows_say() -> None:
    assert not judged(STOPPED, bystander=Wellbeing(3, 3.1, "its RAM was changed")).well


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (STOPPED, ""),
        (replace(STOPPED, control=Result(False, "ENOSYS")), "fails unconfined, too: ENOSYS"),
        (replace(STOPPED, control=None, unproven="no switch"), "no switch"),
    ],
)
def test_what_was_not_shown_to_work_says_why(row: Row, reason: str) -> None:
    assert row.reason == reason


WEIGHTS = (
    Weight(Layer.DESCRIPTORS, True, ("read an inherited file",), ("read an inherited file",)),
    Weight(Layer.UTS_NAMESPACE, True, (), tuple(f"attempt {number}" for number in range(6))),
    Weight(Layer.LANDLOCK_TCP, False, (), ()),
)


def shown(judgement: Judgement, width: int) -> str:
    text = io.StringIO()
    console = Console(width=width, highlight=False, file=text)
    show(judgement, console)
    show_weights(WEIGHTS, console)
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_tables_fit_and_name_every_attempt_and_layer(width: int) -> None:
    rows = (
        replace(STOPPED, name="map another guest's RAM, inherited"),
        replace(STOPPED, confined=GOT),
        replace(
            STOPPED,
            name="forge INTRODUCE",
            group=Group.XENSTORE,
            barrier=Beyond.PRIVILEGED,
            behind=None,
            on_a_ring=Result(False, "ring ended"),
        ),
        RIGHT,
    )
    text = shown(judged(*rows), width)
    assert max(map(len, text.splitlines())) <= width
    for words in (*(row.name for row in rows), "1 GOT THROUGH", "ring ended", "uts namespace"):
        assert words in text
    assert "and 2 more" in text


def test_the_json_has_what_the_tables_have() -> None:
    whole = json.loads(as_json(judged(STOPPED, replace(RIGHT, confined=REFUSED)), WEIGHTS))
    assert not whole["well"]
    assert whole["through"] == []
    assert whole["attempts"][0] == {
        "group": "files and descriptors",
        "name": "open a file",
        "promise": "no file of the host",
        "barrier": "seccomp",
        "outcome": "EPERM",
        "verdict": "stopped",
        "control": {"through": True, "outcome": "read the secret"},
        "without_seccomp": {"through": True, "outcome": "read"},
        "on_a_ring": None,
        "reason": None,
    }
    assert whole["attempts"][1]["verdict"] == "DENIED"
    assert [layer["layer"] for layer in whole["layers"]] == [w.layer.value for w in WEIGHTS]
