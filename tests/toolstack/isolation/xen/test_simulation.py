"""What stands beside a real Xen's verdicts is the simulation's, made anew."""

from __future__ import annotations

from toolstack.isolation.stubdom.attempts import ATTEMPTS
from toolstack.isolation.verdict import Verdict
from toolstack.isolation.xen.simulation import simulate


async def test_every_counterpart_is_made_and_is_well() -> None:
    found = await simulate()
    named = {name for attempt in ATTEMPTS for name in attempt.simulated if name is not None}
    assert set(found) == named
    assert {each.verdict for each in found.values()} == {
        Verdict.STOPPED,
        Verdict.ALLOWED,
        Verdict.UNPROVEN,
    }
