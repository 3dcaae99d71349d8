"""Errors of a nursery as themselves: trio groups what leaves one, a person wants the reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from handoff.errors import HandoffError
from xenstore_sim.wire.errors import XenstoreError


@contextmanager
def single_error() -> Iterator[None]:
    """Raises the first of a group in place of a group of HandoffError and XenstoreError only."""
    try:
        yield
    except BaseExceptionGroup as group:
        ours, other = group.split((HandoffError, XenstoreError))
        if ours is None or other is not None:
            raise
        leaf = innermost(ours)
        raise leaf from leaf.__cause__


def innermost(error: BaseException) -> BaseException:
    """The first error of a group, itself if it is none."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
