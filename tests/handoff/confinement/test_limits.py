"""Limits bound what a process can use up, and never what it was started for."""

from __future__ import annotations

from handoff.confinement.limits import limits_for


def values(
    *, threads: bool = False, alone: bool = True, space: int | None = None
) -> dict[str, int]:
    limits = limits_for(
        highest_fd=9, threads=threads, address_space_bytes=space, counted_alone=alone
    )
    return {limit.name: limit.value for limit in limits}


def test_a_single_threaded_process_may_start_no_task() -> None:
    assert values()["nproc"] == values(alone=False)["nproc"] == 0


def test_threads_are_bounded_only_where_they_are_counted_alone() -> None:
    assert values(threads=True)["nproc"] == 17
    assert "nproc" not in values(threads=True, alone=False)


def test_descriptors_reach_a_little_beyond_the_highest() -> None:
    assert values()["nofile"] == 9 + 1 + 64


def test_address_space_is_bounded_only_by_request() -> None:
    assert values(space=1 << 30)["as"] == 1 << 30
    assert "as" not in values()


def test_files_that_are_open_may_grow() -> None:
    assert "fsize" not in values()
