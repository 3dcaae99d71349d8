from __future__ import annotations

from collections.abc import Iterator

import pytest

from handoff.platforms import Platform
from tests.builders import Guest, poisoned_guest


@pytest.fixture
def qemu() -> Iterator[Guest]:
    """A poisoned guest of 64 MiB on QEMU's pc."""
    with poisoned_guest(Platform.QEMU_PC) as guest:
        yield guest


@pytest.fixture
def xen() -> Iterator[Guest]:
    """A poisoned guest of 64 MiB under Xen."""
    with poisoned_guest(Platform.XEN_HVM) as guest:
        yield guest
