"""Harm is what changed from outside, whatever an attempt said."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from handoff.keys import private
from toolstack.isolation.xen.outside import Seen, harm
from toolstack.xen.libxc import DomainInfo
from xenstore_sim.wire.names import DomId

INFO = DomainInfo(DomId(8), UUID(int=1), paused=True, dying=False, shutdown=None)
NODE = "/local/domain/8/data/scratch"
BEFORE = Seen((b"digest",), INFO, (1, None), {NODE: (b"", private())}, target_paused=True)


@pytest.mark.parametrize(
    ("after", "named"),
    [
        (replace(BEFORE, digests=(b"other",)), "the bystander's RAM was changed"),
        (replace(BEFORE, info=replace(INFO, paused=False)), "the bystander's domain is let go"),
        (replace(BEFORE, info=None), "the bystander's domain is gone"),
        (replace(BEFORE, info=replace(INFO, shutdown=0)), "the bystander's domain is shut down"),
        (replace(BEFORE, parameters=(2, None)), "HVM parameter 0 is 2, was 1"),
        (replace(BEFORE, nodes={}), f"{NODE} was changed"),
        (replace(BEFORE, nodes={NODE: (b"x", private())}), f"{NODE} was changed"),
        (replace(BEFORE, target_paused=False), "the target was let go"),
    ],
)
def test_each_change_is_named(after: Seen, named: str) -> None:
    (found,) = harm(BEFORE, after)
    assert named in found


def test_nothing_changed_is_no_harm() -> None:
    assert harm(BEFORE, replace(BEFORE)) == ()
