from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.stages import ORDER, Stage, may_read, may_write, next_stage

WAY = ["discovered", "verified", "placed", "moved", "inserted", "ready"]


def test_the_stages_cross_xenstore_under_these_words() -> None:
    assert [stage.value for stage in ORDER] == WAY
    assert {stage.value for stage in Stage} == {*WAY, "failed"}


def test_success_walks_the_stages_one_by_one() -> None:
    walked: list[str] = []
    stage = next_stage(None)
    while stage is not None:
        walked.append(stage.value)
        stage = next_stage(stage)
    assert walked == WAY


def test_failure_leads_nowhere() -> None:
    assert next_stage(Stage.FAILED) is None


@pytest.mark.parametrize("after", [None, *ORDER[:-1]])
def test_a_writer_takes_one_step_or_fails(after: Stage | None) -> None:
    allowed = {stage for stage in Stage if may_write(stage, after)}
    assert allowed == {next_stage(after), Stage.FAILED}


@pytest.mark.parametrize("end", [Stage.READY, Stage.FAILED])
def test_after_an_end_nothing_is_written_and_nothing_new_is_read(end: Stage) -> None:
    assert not any(may_write(stage, end) for stage in Stage)
    assert {stage for stage in Stage if may_read(stage, end)} == {end}


def test_a_reader_refuses_a_step_back() -> None:
    assert not may_read(Stage.PLACED, Stage.MOVED)
    assert may_read(Stage.READY, Stage.DISCOVERED)


@given(st.lists(st.integers(0, len(ORDER)), max_size=12))
def test_whatever_a_lawful_writer_writes_a_reader_who_misses_some_accepts(reads: list[int]) -> None:
    written = [*ORDER[:4], Stage.FAILED]
    seen: Stage | None = None
    for index in sorted(min(at, len(written) - 1) for at in reads):
        assert may_read(written[index], seen)
        seen = written[index]
