"""One booted bed for all tests: what a scenario leaves behind is found and removed after each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devicemodel.fw_cfg.witness import multiboot_kernel
from tests.xen.bed.build import build
from tests.xen.images import WITNESS
from tests.xen.machine import Machine
from tests.xen.play import Play


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """The bed, with dom0 up. Its console is kept if a test fails, and named by the failure."""
    console = Path(tempfile.mkdtemp(prefix="xenbed-")) / "console.log"
    witness = console.parent / WITNESS
    witness.write_bytes(multiboot_kernel())
    with Machine(build(), console, files=(witness,)) as machine:
        yield machine


@pytest.fixture
def play(machine: Machine) -> Play:
    """Runs a scenario in dom0: what it returned, once it is done and nothing is left of it."""
    return Play(machine)
