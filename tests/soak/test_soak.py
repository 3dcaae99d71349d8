"""What one handoff takes, the end of it gives back."""

from __future__ import annotations

from contextlib import aclosing

from tests.soak.__main__ import grown
from tests.soak.handoffs import handoffs
from tests.soak.plot import panels, svg


async def test_descriptors_threads_and_nodes_do_not_grow_from_handoff_to_handoff() -> None:
    async with aclosing(handoffs(12, nodes_every=1)) as running:
        samples = [sample async for sample in running]
    # The first one makes directories and thread pools that stay.
    assert grown(samples[1:]) == ()
    assert svg(panels(samples, 1), len(samples)).count("<polyline") == 8
