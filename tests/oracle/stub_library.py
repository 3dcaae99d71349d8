"""The library that stands in for Xen below the real xenstored, compiled when first needed."""

import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

_SOURCES = tuple(Path(__file__).with_name("stub").glob("*.c"))
_COMPILE_S = 60


class StubLibrary:
    """`stub/` as a shared library; its file goes with the last reference to this object."""

    def __init__(self) -> None:
        self._directory = TemporaryDirectory(prefix="xenstored-stub-")
        self.path = Path(self._directory.name) / "stub.so"
        """What LD_PRELOAD names."""
        command = ("cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o")
        subprocess.run([*command, self.path, *_SOURCES, "-ldl"], check=True, timeout=_COMPILE_S)


@cache
def stub_library() -> StubLibrary:
    """The library, once for a test run."""
    return StubLibrary()
