"""What one handoff takes, the end of it gives back."""

from __future__ import annotations

from contextlib import aclosing

from tests.soak import xenstore
from tests.soak.__main__ import grown
from tests.soak.handoffs import handoffs
from tests.soak.plot import panels, svg
from tests.soak.xenstore_load import rounds as xenstore_rounds


async def test_descriptors_threads_and_nodes_do_not_grow_from_handoff_to_handoff() -> None:
    async with aclosing(handoffs(12, nodes_every=1)) as running:
        samples = [sample async for sample in running]
    # The first one makes directories and thread pools that stay.
    assert grown(samples[1:]) == ()
    assert svg(panels(samples, 1), len(samples)).count("<polyline") == 8


async def test_what_clients_of_xenstored_take_they_give_back_and_a_renewal_loses_nothing() -> None:
    async with aclosing(xenstore_rounds(requests=5000, renew_every=3)) as running:
        samples = [sample async for sample in running]
    assert any(sample.renewed for sample in samples)
    assert xenstore.grown(samples[1:]) == ()
    assert svg(xenstore.panels(samples, 1), len(samples)).count("<polyline") == 6
