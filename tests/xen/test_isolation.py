"""A real stub domain reaches its target and nobody else, whoever of Linux and Xen is asked."""

from __future__ import annotations

import pytest

from tests.xen.play import Play
from tests.xen.scenarios import isolation

pytestmark = pytest.mark.xen

ITS_RIGHT = {"read RAM", "write RAM", "make an ioreq server", "write its node data"}
"""What a device model has to do to its target."""
NOT_EVEN_THERE = {"unpause", "write its node hvmloader"}


@pytest.mark.parametrize("restricted", [True, False], ids=["by Linux and Xen", "by Xen alone"])
def test_a_stub_domain_reaches_its_target_and_nobody_else(play: Play, restricted: bool) -> None:
    found = play(isolation.reaches, restricted=restricted)
    through = {
        name: {what for what, how in verdicts.items() if how == "done"}
        for name, verdicts in found["verdicts"].items()
    }
    assert all(len(verdicts) == 7 for verdicts in found["verdicts"].values()), found
    assert through["target"] >= ITS_RIGHT, found
    assert not through["target"] & NOT_EVEN_THERE, found
    assert {name for name, reached in through.items() if reached} == {"target"}, found
    assert found["written"] == {"target": True, "bystander": False}, found
