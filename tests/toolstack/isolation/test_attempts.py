"""The attempts as a whole: each has a name of its own, each promise is tested."""

from __future__ import annotations

from handoff.confinement import Layer
from toolstack.isolation.attempts import ATTEMPTS, named
from toolstack.isolation.lies import LIES, TRUTH
from toolstack.isolation.promises import Beyond, Promise

ALL = [attempt for _, attempts in ATTEMPTS for attempt in attempts]


def test_no_two_attempts_have_one_name() -> None:
    names = [attempt.name for attempt in ALL] + [lie.name for lie in LIES]
    assert len(names) == len(set(names))


def test_an_attempt_is_found_by_its_name() -> None:
    assert [named(attempt.name) for attempt in ALL] == ALL


def test_every_promise_is_tested_by_an_attempt() -> None:
    tested = {attempt.promise for attempt in ALL} | {Promise.NO_LIE_BOOTS}
    assert tested == set(Promise)


def test_what_is_its_right_concerns_its_target_alone() -> None:
    rights = [attempt for attempt in ALL if attempt.barrier is None]
    assert {attempt.promise for attempt in rights} == {Promise.TARGET}


def test_an_attempt_within_the_process_can_always_be_made_without_its_layers() -> None:
    assert [a.name for a in ALL if isinstance(a.barrier, Layer) and a.unproven] == []


def test_every_barrier_beyond_the_process_stops_something() -> None:
    barriers = {attempt.barrier for attempt in ALL} | {lie.barrier for lie in LIES}
    assert barriers >= set(Beyond)


def test_one_of_the_stories_told_is_true() -> None:
    assert [lie.name for lie in LIES if lie.barrier is None] == [TRUTH.name]
