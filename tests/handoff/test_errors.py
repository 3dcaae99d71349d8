from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.errors import (
    ALL_ERRORS,
    ERROR_LINE_MAX_BYTES,
    ConfigError,
    DescriptorRefused,
    DigestMismatch,
    HandoffError,
    LayoutError,
    PeerMisbehaved,
    PlacementError,
    ReportedFailure,
    StageTimeout,
    error_line,
)


def test_each_error_has_a_word_and_an_exit_code_of_its_own() -> None:
    kinds = [error.kind for error in ALL_ERRORS]
    codes = [error.exit_code for error in ALL_ERRORS]
    assert len(set(kinds)) == len(kinds)
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch("[a-z-]{1,32}", kind) for kind in kinds)


def test_all_errors_are_listed_by_exit_code() -> None:
    leaves = {error for error in HandoffError.__subclasses__() if error is not ReportedFailure}
    assert leaves == set(ALL_ERRORS)
    codes = [error.exit_code for error in ALL_ERRORS]
    assert codes == sorted(codes)


def test_exit_codes_stay_clear_of_those_a_shell_uses() -> None:
    assert all(2 < error.exit_code < 126 for error in ALL_ERRORS)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            LayoutError("kernel setup_header.boot_flag", 0x1FE, "0xaa56", "a kernel has 0xaa55"),
            "kernel setup_header.boot_flag at offset 0x1fe is 0xaa56: a kernel has 0xaa55",
        ),
        (DescriptorRefused("images[1].digest", "is missing"), "images[1].digest: is missing"),
        (
            DigestMismatch("ramdisk", "[0x1000, 0x2000)", b"\x01" * 32, b"\x02" * 32),
            "ramdisk at [0x1000, 0x2000) has digest 0202020202020202.., announced "
            "0101010101010101..: its bytes were damaged, load it again",
        ),
        (
            StageTimeout("the device model to be moved", 30.0),
            "nothing after 30 s while waiting for the device model to be moved: see the logs "
            "with --verbose, or allow more with --stage-timeout",
        ),
        (
            StageTimeout("the device model to be moved", 30.0, last_words="verified"),
            "nothing after 30 s while waiting for the device model to be moved (its last words: "
            "verified): see the logs with --verbose, or allow more with --stage-timeout",
        ),
    ],
)
def test_an_error_says_what_where_and_what_to_do(error: HandoffError, text: str) -> None:
    assert str(error) == text
    assert error.line() == f"{error.kind}: {text}"


@given(st.sampled_from(ALL_ERRORS), st.text())
def test_a_line_is_short_and_printable(error: type[HandoffError], text: str) -> None:
    line = error_line(error.kind, text * 50)
    assert len(line) <= ERROR_LINE_MAX_BYTES
    assert line.isascii()
    assert line.isprintable()


@given(st.sampled_from(ALL_ERRORS), st.text(min_size=1))
def test_a_reported_failure_is_the_error_the_device_model_had(
    error: type[HandoffError], text: str
) -> None:
    reported = ReportedFailure(error_line(error.kind, text))
    assert reported.error is error
    assert (reported.kind, reported.exit_code) == (error.kind, error.exit_code)
    assert reported.line() == error_line(error.kind, text)


def test_what_is_reported_does_not_change_the_class_for_the_next_one() -> None:
    assert ReportedFailure("placement: no room").exit_code == PlacementError.exit_code
    assert ReportedFailure("config: no kernel").exit_code == ConfigError.exit_code
    assert ReportedFailure.exit_code == HandoffError.exit_code


@pytest.mark.parametrize("line", ["", "placement", "Placement: x", "\x1b[2J: x"])
def test_a_reason_of_no_known_kind_is_misbehaviour(line: str) -> None:
    reported = ReportedFailure(line)
    assert reported.error is PeerMisbehaved
    assert str(reported).isprintable()
    assert "without a known reason" in str(reported)
