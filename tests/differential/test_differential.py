"""Our daemon tells everyone what Debian's real xenstored 4.17 does, in random conversations."""

import pytest
from hypothesis import given, settings

from tests.differential.campaign import CONVERSATIONS as HOW_MANY
from tests.differential.campaign import Tally
from tests.differential.comparison import Comparison
from tests.differential.conversations import BOUNDS, CONVERSATIONS, PROLOGUE, Bounds
from tests.differential.steps import Step
from tests.oracle.real_xenstored import RealXenstored


def hold(real: RealXenstored, bounds: Bounds, conversation: tuple[Step, ...]) -> int:
    """The number of requests. Raises: AssertionError where the daemons differ."""
    comparison = Comparison(real, bounds)
    try:
        for step in conversation:
            comparison.play(step)
        comparison.compare_stores()
    except AssertionError as error:
        lines = "\n  ".join(map(repr, (*PROLOGUE, *conversation)))
        error.add_note(f"The conversation:\n  {lines}")
        raise
    return comparison.requests


@pytest.mark.parametrize("bounds", BOUNDS, ids=lambda bounds: " ".join(bounds.options) or "default")
def test_both_tell_the_same(bounds: Bounds, tally: Tally) -> None:
    @settings(max_examples=HOW_MANY)
    @given(CONVERSATIONS)
    def converse(conversation: tuple[Step, ...]) -> None:
        with RealXenstored(*bounds.options) as real:
            tally.count(hold(real, bounds, conversation))

    converse()
