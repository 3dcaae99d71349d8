"""Every number that is not kept falls into a range to close."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.confinement.descriptors import gaps
from tests.handoff.confinement.trials import run_python

LAST = 0xFFFF_FFFF


@given(keep=st.frozensets(st.integers(0, 40)), fd=st.integers(0, 60))
def test_a_number_is_in_a_gap_exactly_when_it_is_not_kept(keep: frozenset[int], fd: int) -> None:
    assert any(first <= fd <= last for first, last in gaps(keep)) == (fd not in keep)


@given(keep=st.frozensets(st.integers(0, 40)))
def test_gaps_are_ascending_and_reach_the_last_number(keep: frozenset[int]) -> None:
    bounds = [bound for gap in gaps(keep) for bound in gap]
    assert bounds == sorted(bounds)
    assert bounds[-1] == LAST


def test_kept_descriptors_stay_and_unkept_streams_lead_nowhere() -> None:
    script = """
import os
from handoff.confinement import Mode, prepare
high = os.dup2(2, 40)
leak = os.dup2(2, 41)
prepare(mode=Mode.AUTO, keep_fds=(1, high))
null = os.stat(os.devnull).st_rdev
print([os.fstat(fd).st_rdev == null for fd in (0, 1, 2)])
print([fd for fd in range(64) if os.path.exists(f"/proc/self/fd/{fd}")])
"""
    done = run_python(["-c", script])
    assert done.stdout.splitlines() == ["[True, False, True]", "[0, 1, 2, 40]"]


@pytest.mark.parametrize(
    ("fd", "complaint"),
    [
        ("40", "descriptor 40 is to be kept, but is not open: Bad file descriptor"),
        (
            "os.dup2(os.open('/', os.O_RDONLY), 41)",
            "descriptor 41 is to be kept, but is a directory: pass open files instead",
        ),
    ],
)
def test_a_descriptor_that_is_absent_or_a_way_out_is_not_kept(fd: str, complaint: str) -> None:
    script = f"""
import os
from handoff.confinement import ConfinementError, Mode, prepare
try:
    prepare(mode=Mode.AUTO, keep_fds=(0, 1, 2, {fd}))
except ConfinementError as error:
    print(error)
"""
    assert run_python(["-c", script]).stdout == complaint + "\n"
