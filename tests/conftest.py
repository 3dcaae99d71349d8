"""How Hypothesis runs here, the same examples each time or new ones, and what pytest can print."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# No test judges by the clock: a loaded machine is no failure.
settings.register_profile("seeded", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None, max_examples=500, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "seeded"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--matrix", action="store_true", help="print the boot matrix at the end")
