from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from handoff.addresses import MIB, PAGE, Gpa, GpaRange
from handoff.foreign_memory import ForeignMemory
from handoff.foreign_ram import WINDOW_BYTES, ForeignRam
from handoff.guest_ram import GuestRam, RamRegion
from tests.builders import small_ram
from tests.contract.fake_xen import fake_domain
from tests.contract.guest_ram import RULES, Rule
from xenstore_sim.wire.names import DomId

WHOLE = GpaRange(Gpa(MIB), 2 * WINDOW_BYTES)
SCRATCH = {
    "in one window": GpaRange(Gpa(2 * MIB), 64 * PAGE),
    "in two": GpaRange(Gpa(WINDOW_BYTES - 9 * PAGE), 23 * PAGE),
}


@pytest.fixture(params=["memory file", "foreign mappings"])
def ram(request: pytest.FixtureRequest) -> Iterator[GuestRam]:
    if request.param == "memory file":
        with small_ram((RamRegion(WHOLE, 0),)) as ram:
            yield ram
        return
    with (
        fake_domain(7, (WHOLE,)) as library,
        closing(ForeignMemory(library)) as memory,
    ):
        yield ForeignRam(memory, DomId(7), (WHOLE,))
        assert library.mapped_now == 0, "every mapping is undone"


@pytest.mark.parametrize("scratch", SCRATCH.values(), ids=SCRATCH)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_guest_ram(ram: GuestRam, rule: Rule, scratch: GpaRange) -> None:
    rule(ram, scratch, WHOLE)
