"""Our daemon tells everyone what Debian's real xenstored 4.17 does, in random conversations."""

import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy

from tests.differential.campaign import CONVERSATIONS, Tally
from tests.differential.comparison import Comparison
from tests.differential.conversations import BOUNDS, PROLOGUE, Bounds, conversations
from tests.differential.steps import Step
from tests.differential.vocabulary import GROUPS
from tests.differential.vocabulary import ONE_SUBTREE as ONE_SUBTREE_GROUPS
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


ANY, ONE_SUBTREE = conversations(GROUPS), conversations(ONE_SUBTREE_GROUPS)


@pytest.mark.parametrize(
    ("strategy", "bounds"),
    [
        pytest.param(ANY, BOUNDS[0], id="any"),
        pytest.param(ANY, BOUNDS[1], id="small quotas"),
        pytest.param(ANY, BOUNDS[2], id="small transactions"),
        pytest.param(ONE_SUBTREE, BOUNDS[0], id="one subtree"),
    ],
)
def test_both_tell_the_same(
    strategy: SearchStrategy[tuple[Step, ...]], bounds: Bounds, tally: Tally
) -> None:
    @settings(max_examples=CONVERSATIONS)
    @given(strategy)
    def converse(conversation: tuple[Step, ...]) -> None:
        with RealXenstored(*bounds.options) as real:
            tally.count(hold(real, bounds, conversation))

    converse()
