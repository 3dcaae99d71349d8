"""The Python packages that the project needs, as wheels for the bed's Python."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.xen.bed.errors import BedError
from tests.xen.bed.recipe import PYTHON_VERSION, WHEEL_PLATFORMS

_TIMEOUT_S: Final = 600


def install(requirements: Sequence[str], into: Path) -> None:
    """Unpacks the newest wheels of these, and of what they need, into a folder.

    Whatever Python and C library this machine has. Raises: BedError.
    """
    platforms = [word for each in WHEEL_PLATFORMS for word in ("--platform", each)]
    chosen = ("--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON_VERSION)
    quiet = ("--quiet", "--disable-pip-version-check", "--no-compile")
    pip = (sys.executable, "-m", "pip", "install", "--target", str(into))
    try:
        subprocess.run(
            (*pip, *quiet, *chosen, *platforms, *requirements),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise BedError(f"pip was not done within {_TIMEOUT_S} s: look at the network") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no reason given"]
        raise BedError(f"pip cannot fetch the bed's Python packages: {lines[-1]}") from error
    _strip(into)


def _strip(folder: Path) -> None:
    """Takes out symbols for debuggers, four fifths of some wheels. Raises: BedError."""
    libraries = [str(path) for path in folder.rglob("*.so*") if path.is_file()]
    try:
        subprocess.run(("strip", "--strip-unneeded", *libraries), timeout=60, check=True)
    except FileNotFoundError as error:
        raise BedError("no strip here: `make packages` installs it, with gcc") from error
    except subprocess.CalledProcessError as error:
        raise BedError(f"strip failed on the libraries of {folder}") from error
