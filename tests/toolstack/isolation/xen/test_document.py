"""docs/real-xen.md shows what the command prints on a real Xen: every attempt, and nothing got
through. That it is what a real Xen says, `tests/xen/test_isolation.py` holds."""

from __future__ import annotations

import re

import pytest

from tests.docs.documents import ROOT, fenced
from toolstack.isolation.stubdom.attempt import Group
from toolstack.isolation.stubdom.attempts import ATTEMPTS
from toolstack.isolation.stubdom.order import Place
from toolstack.isolation.xen.table import HEADS

SECTION = (ROOT / "docs" / "real-xen.md").read_text().partition("### What a stub domain reaches")[2]
TABLES = fenced(SECTION)[1].splitlines()
"""All but the last line, which has the seconds."""


def rows(place: Place) -> dict[str, list[str]]:
    """What stands behind each name in the tables of a place."""
    heads = [*HEADS.values(), "* not shown to get through otherwise:"]
    begin = TABLES.index(HEADS[place])
    end = min(TABLES.index(head) for head in heads if TABLES.index(head) > begin)
    names = {attempt.name for attempt in ATTEMPTS}
    cells = (re.split(r"  +", line) for line in TABLES[begin:end])
    return {name: found for name, *found in cells if name in names}


@pytest.mark.parametrize("place", list(HEADS))
def test_every_attempt_of_a_place_has_its_row(place: Place) -> None:
    made = [
        attempt.name
        for group in Group
        for attempt in ATTEMPTS
        if attempt.group is group
        and (place is Place.STUB_DOMAIN or attempt.group is not Group.XENSTORE)
    ]
    assert list(rows(place)) == made


def test_nothing_got_through() -> None:
    assert not any(word in "\n".join(TABLES) for word in ("GOT", "DENIED", "HUNG"))


@pytest.mark.parametrize(
    ("place", "absent"),
    [(Place.STUB_DOMAIN, "EPERM"), (Place.XEN_ALONE, "ESRCH"), (Place.PROCESS, "EPERM")],
)
def test_ram_is_its_targets_and_nobody_elses(place: Place, absent: str) -> None:
    found = rows(place)
    for name in ("read RAM", "write RAM"):
        assert found[name][:5] == ["done", "EPERM", "EPERM", absent, "allowed, stopped"]


def test_linux_refuses_the_targets_parameters_which_xen_alone_lets_through() -> None:
    for name in ("read an HVM parameter", "write an HVM parameter"):
        assert rows(Place.STUB_DOMAIN)[name][:4] == ["EPERM"] * 4
        assert rows(Place.XEN_ALONE)[name][:4] == ["done", "EPERM", "EINVAL", "ESRCH"]


@pytest.mark.parametrize("place", list(HEADS))
def test_nobody_lets_a_guest_run_but_the_toolstack(place: Place) -> None:
    absent = "ESRCH" if place is Place.XEN_ALONE else "EPERM"
    for name in ("pause it", "unpause it", "destroy it"):
        assert rows(place)[name][:4] == ["EPERM", "EPERM", "EPERM", absent]
