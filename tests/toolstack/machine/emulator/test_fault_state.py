"""Finding Unicorn's exception state by probing."""

import struct

import pytest

from toolstack.machine.emulator.fault_state import ContextLayout, probe_layout
from toolstack.machine.emulator.open_engine import UnknownEngine, open_engine

HEADER = (5608, 0, 2, 4, 0, 0)


def context(software: int, in_flight: int, noise: int = 7) -> bytes:
    return struct.pack("<12i", *HEADER, noise, 0, software, 99, in_flight, noise)


def test_the_fields_are_where_they_changed() -> None:
    assert ContextLayout.from_probes(context(1, -1), context(0, 0, 8)) == ContextLayout(
        error_code=28, software=32, in_flight=40
    )


@pytest.mark.parametrize(
    "after_divide_error", [context(1, 0), context(0, -1)], ids=["no origin", "not in flight"]
)
def test_a_build_that_keeps_them_elsewhere_is_refused(after_divide_error: bytes) -> None:
    with pytest.raises(UnknownEngine):
        ContextLayout.from_probes(context(1, -1), after_divide_error)


def test_probing_leaves_the_engine_without_memory_and_as_it_was() -> None:
    engine = open_engine()
    before = bytes(engine.context_save())
    layout = probe_layout(engine)
    assert list(engine.mem_regions()) == []
    after = bytes(engine.context_save())
    assert after[layout.in_flight : layout.in_flight + 4] == b"\xff" * 4
    assert before[layout.in_flight : layout.in_flight + 4] == b"\xff" * 4
