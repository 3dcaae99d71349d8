"""The real daemon as a fixture; other test packages import the class or this fixture."""

from collections.abc import Iterator

import pytest

from tests.oracle.real_xenstored import RealXenstored


@pytest.fixture
def real_xenstored() -> Iterator[RealXenstored]:
    """A fresh real xenstored with its default quotas."""
    with RealXenstored() as real:
        yield real
