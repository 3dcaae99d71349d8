"""What the fuzzer begins with is understood, and what it found once stays mended."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import GOLDEN
from tests.fuzz.parsers.campaign import PREFIX, target_of
from tests.fuzz.parsers.seeds import seeds
from tests.fuzz.parsers.targets import TARGETS

EXAMPLES = 60
SEEDS = {target: tuple(seeds(target)) for target in TARGETS}


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_seeds_and_understands_one(target: str) -> None:
    outcomes = [TARGETS[target](seed) for seed in SEEDS[target]]
    assert any(not isinstance(one, Exception) and one is not None for one in outcomes)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 700], ids=["empty", "byte", "ones"])
def test_next_to_nothing_is_refused(target: str, data: bytes) -> None:
    TARGETS[target](data)


edits = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=8), st.booleans()),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("target", TARGETS)
@given(st.data(), edits, st.integers(0, 64))
@settings(max_examples=EXAMPLES)
def test_an_edited_seed_is_understood_or_refused(
    target: str, data: st.DataObject, changes: list[tuple[int, bytes, bool]], cut: int
) -> None:
    given_ = bytearray(data.draw(st.sampled_from(SEEDS[target])))
    for at, content, inserts in changes:
        start = at % (len(given_) + 1)
        given_[start : start if inserts else start + len(content)] = content
    TARGETS[target](bytes(given_[: len(given_) - cut]))


@pytest.mark.parametrize("path", sorted(GOLDEN.glob(f"{PREFIX}*.bin")), ids=lambda path: path.stem)
def test_what_was_found_once_stays_mended(path: Path) -> None:
    TARGETS[target_of(path)](path.read_bytes())
