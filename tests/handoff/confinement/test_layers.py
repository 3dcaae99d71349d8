"""The report names every layer once, in order, in readable columns."""

from __future__ import annotations

import pytest

from handoff.confinement import Layer, Outcome, Report, State


def report(**states: State) -> Report:
    return Report(
        tuple(Outcome(layer, states.get(layer.name, State.APPLIED), "detail") for layer in Layer)
    )


def test_a_line_names_layer_state_and_detail() -> None:
    outcome = Outcome(Layer.LANDLOCK_TCP, State.UNAVAILABLE, "needs Landlock ABI 4")
    assert outcome.line() == "landlock tcp      unavailable needs Landlock ABI 4"


def test_a_line_has_no_blanks_at_its_end() -> None:
    assert Outcome(Layer.SECCOMP, State.OFF, "").line() == "seccomp           off"


def test_every_layer_fits_its_column() -> None:
    lines = report().lines()
    assert len(lines) == len(Layer)
    assert {line.index("applied") for line in lines} == {18}


def test_a_report_is_complete_unless_a_layer_is_unavailable() -> None:
    assert report(PID_NAMESPACE=State.OFF).complete
    assert not report(SECCOMP=State.UNAVAILABLE).complete


def test_outcomes_are_found_by_layer_and_by_state() -> None:
    mixed = report(SECCOMP=State.OFF)
    assert mixed.outcome(Layer.SECCOMP).state is State.OFF
    assert [outcome.layer for outcome in mixed.in_state(State.OFF)] == [Layer.SECCOMP]


def test_a_report_that_leaves_a_layer_out_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        Report(report().outcomes[1:])
