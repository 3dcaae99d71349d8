"""Real images, and a run directory of the test's own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.matrix.table import MATRIX, Matrix
from toolstack import images


@pytest.fixture(scope="session")
def debian() -> dict[str, Path]:
    """Debian's cloud kernel, a busybox initrd, memtest86+ and Xen: fetched once, then cached."""
    names = ("vmlinuz", "initrd.img", "memtest86+x64.bin", "memtest86+ia32.bin", "xen.gz")
    images.ensure(names)
    found = {name: images.locate(name) for name in names}
    return {name: path for name, path in found.items() if path is not None}


@pytest.fixture
def runtime() -> Iterator[Path]:
    """XDG_RUNTIME_DIR of the programs under test; nothing may be left in it.

    A short name: that of a socket has at most 107 bytes.
    """
    with tempfile.TemporaryDirectory(prefix="e2e-") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def matrix(pytestconfig: pytest.Config) -> Matrix:
    """What became of the cells of the matrix, for the table at the end."""
    return pytestconfig.stash.setdefault(MATRIX, Matrix())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    matrix = config.stash.get(MATRIX, Matrix())
    if matrix and config.getoption("--matrix"):
        terminalreporter.section("boot matrix")
        for line in matrix.lines():
            terminalreporter.write_line(line)
