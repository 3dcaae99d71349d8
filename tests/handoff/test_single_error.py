"""A person gets the reason, not the group it came in; a fault of ours is never hidden."""

from __future__ import annotations

import pytest

from handoff.errors import ConfigError, HandoffError, ImageError
from handoff.single_error import innermost, single_error
from xenstore_sim.wire.errors import Disconnected


def test_a_group_of_ours_is_its_first_with_its_cause() -> None:
    cause = OSError(2, "gone")
    first = ImageError("first")
    first.__cause__ = cause
    with pytest.raises(ImageError) as raised, single_error():
        raise ExceptionGroup("a", [ExceptionGroup("b", [first]), ConfigError("second")])
    assert raised.value is first
    assert raised.value.__cause__ is cause


def test_a_lost_xenstore_connection_is_taken_out_of_its_group_too() -> None:
    with pytest.raises(Disconnected), single_error():
        raise ExceptionGroup("a", [Disconnected("gone")])


def test_a_group_with_anything_else_stays_a_group() -> None:
    with pytest.raises(ExceptionGroup) as raised, single_error():
        raise ExceptionGroup("a", [ImageError("ours"), ZeroDivisionError()])
    assert raised.group_contains(ZeroDivisionError)


def test_what_is_no_group_passes() -> None:
    with pytest.raises(HandoffError), single_error():
        raise ImageError("alone")
    with pytest.raises(ZeroDivisionError), single_error():
        raise ZeroDivisionError


def test_innermost_is_the_first_leaf() -> None:
    leaf = ValueError()
    assert innermost(leaf) is leaf
    assert innermost(ExceptionGroup("a", [ExceptionGroup("b", [leaf]), OSError()])) is leaf
