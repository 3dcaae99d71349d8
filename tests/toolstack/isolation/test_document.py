"""docs/isolation.md names every attempt beside the promise it tests, and every barrier."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.documents import ROOT, cells
from toolstack.isolation.attempts import ATTEMPTS
from toolstack.isolation.lies import LIES
from toolstack.isolation.promises import Beyond, Promise

DOCUMENT = (ROOT / "docs" / "isolation.md").read_text()


def promised() -> dict[str, list[str]]:
    """Attempts by promise, as the code has them."""
    tested: dict[str, list[str]] = {promise.value: [] for promise in Promise}
    for _, attempts in ATTEMPTS:
        for attempt in attempts:
            tested[attempt.promise.value].append(attempt.name)
    for lie in LIES:
        promise = Promise.TARGET if lie.barrier is None else Promise.NO_LIE_BOOTS
        tested[promise.value].append(lie.name)
    return tested


def test_each_promise_is_named_with_the_attempts_that_test_it() -> None:
    (table,) = re.findall(r"<!-- promises -->\n(.*?)<!-- end -->", DOCUMENT, re.DOTALL)
    assert dict(cells(table)) == {name: ", ".join(names) for name, names in promised().items()}


def test_every_barrier_beyond_the_process_has_its_row() -> None:
    (table,) = re.findall(r"Beyond the process:\n\n(.*?)\n\n", DOCUMENT, re.DOTALL)
    assert {row[0] for row in cells(table)} == {barrier.value for barrier in Beyond}


def test_every_group_of_attempts_is_a_file() -> None:
    folder = Path(ROOT, "toolstack", "isolation", "attempts")
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "calls"}
    assert files == {
        function.__module__.rpartition(".")[2]
        for _, attempts in ATTEMPTS
        for function in (attempt.make for attempt in attempts)
    }
