"""Each law carries weight: a bug that breaks it is found, and the run to it can be read."""

from __future__ import annotations

import pytest

from tests.protocol_explorer.explorer import Counterexample
from tests.protocol_explorer.planted import BUGS, Bug, find


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    with pytest.raises(Counterexample) as found:
        find(bug)
    assert bug.law in found.value.law
    print(found.value)
