"""C parts of the benchmark, compiled when it begins."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_HERE: Final = Path(__file__).parent
_HYPERVISOR: Final = Path(__file__).parents[3] / "tests" / "oracle" / "stub"
_COMPILE_S: Final = 60
_CC: Final = ("cc", "-O2", "-Wall", "-Wextra", "-Werror")
_LIBRARY: Final = ("-shared", "-fPIC")


@dataclass(frozen=True, slots=True)
class Native:
    """What was compiled."""

    load: Path
    """The client, a shared library."""
    floor: Path
    """The daemon that does nothing, a program."""
    under_oxenstored: Path
    """What stands in for Xen below oxenstored, to be preloaded."""

    @classmethod
    def compiled(cls, directory: Path) -> Self:
        """All of it, in this directory. Raises: subprocess.SubprocessError, OSError."""
        made = cls(directory / "load.so", directory / "floor", directory / "oxenstored.so")
        hypervisor = (f"-I{_HYPERVISOR}", _HYPERVISOR / "hypervisor.c", "-ldl")
        for command in (
            (*_CC, *_LIBRARY, "-o", made.load, _HERE / "load.c"),
            (*_CC, "-o", made.floor, _HERE / "floor.c"),
            (*_CC, *_LIBRARY, "-o", made.under_oxenstored, _HERE / "oxenstored.c", *hypervisor),
        ):
            subprocess.run(command, check=True, timeout=_COMPILE_S)
        return made
