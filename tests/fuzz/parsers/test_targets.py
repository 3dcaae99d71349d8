"""What the fuzzer begins with is understood, and what it found once stays mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.__main__ import GOLDEN
from tests.fuzz.parsers.campaign import PREFIX, target_of
from tests.fuzz.parsers.seeds import seeds
from tests.fuzz.parsers.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_seeds_and_understands_one(target: str) -> None:
    outcomes = [TARGETS[target](seed) for seed in seeds(target)]
    assert any(not isinstance(one, Exception) and one is not None for one in outcomes)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 700], ids=["empty", "byte", "ones"])
def test_next_to_nothing_is_refused(target: str, data: bytes) -> None:
    TARGETS[target](data)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob(f"{PREFIX}*.bin")), ids=lambda path: path.stem)
def test_what_was_found_once_stays_mended(path: Path) -> None:
    TARGETS[target_of(path)](path.read_bytes())
