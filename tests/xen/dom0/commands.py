"""Programs of dom0, run to their end."""

from __future__ import annotations

import subprocess
from typing import Final

TIMEOUT_S: Final = 120.0


class CommandFailed(Exception):
    """Exited with something else than 0, or not in time; with what it said."""


def run(*command: str, timeout_s: float = TIMEOUT_S) -> str:
    """Its standard output. Raises: CommandFailed."""
    status, said = attempt(*command, timeout_s=timeout_s)
    if status:
        raise CommandFailed(f"{' '.join(command)} exited with {status}: {said.strip()}")
    return said


def attempt(*command: str, timeout_s: float = TIMEOUT_S) -> tuple[int, str]:
    """Exit status, and standard output followed by the errors. Raises: CommandFailed."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{' '.join(command)} was not done within {timeout_s:g} s") from error
    return done.returncode, done.stdout + done.stderr
