from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def runtime() -> Iterator[Path]:
    """XDG_RUNTIME_DIR of the program under test. A short name: that of a socket has at most
    107 bytes."""
    with tempfile.TemporaryDirectory(prefix="docs-") as directory:
        yield Path(directory)
