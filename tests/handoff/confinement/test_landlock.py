"""Each Landlock ABI is asked for all it knows, and for nothing that it does not."""

from __future__ import annotations

import pytest

from handoff.confinement import Layer
from handoff.confinement.landlock import LANDLOCK_LAYERS, Ruleset, ruleset_for

ALL = frozenset(LANDLOCK_LAYERS)


@pytest.mark.parametrize(
    ("abi", "ruleset", "attribute_size"),
    [
        (1, Ruleset(0x1FFF, 0, 0), 8),
        (2, Ruleset(0x3FFF, 0, 0), 8),
        (3, Ruleset(0x7FFF, 0, 0), 8),
        (4, Ruleset(0x7FFF, 3, 0), 16),
        (5, Ruleset(0xFFFF, 3, 0), 16),
        (6, Ruleset(0xFFFF, 3, 3), 24),
        (7, Ruleset(0xFFFF, 3, 3), 24),
        (99, Ruleset(0xFFFF, 3, 3), 24),
    ],
)
def test_an_abi_enforces_what_it_brought(abi: int, ruleset: Ruleset, attribute_size: int) -> None:
    assert ruleset_for(abi, ALL) == ruleset
    assert len(ruleset.encode(abi)) == attribute_size


@pytest.mark.parametrize(
    ("layer", "ruleset"),
    [
        (Layer.LANDLOCK_FILES, Ruleset(0xFFFF, 0, 0)),
        (Layer.LANDLOCK_TCP, Ruleset(0, 3, 0)),
        (Layer.LANDLOCK_SCOPES, Ruleset(0, 0, 3)),
    ],
)
def test_only_the_layers_asked_for_are_handled(layer: Layer, ruleset: Ruleset) -> None:
    assert ruleset_for(7, frozenset({layer})) == ruleset


def test_the_attribute_is_three_little_endian_words() -> None:
    encoded = Ruleset(0x0102, 0x03, 0x04).encode(6)
    assert encoded.hex(" ", 8) == "0201000000000000 0300000000000000 0400000000000000"
