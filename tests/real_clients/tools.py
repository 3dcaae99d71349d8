"""Xen's own programs, unchanged, on a daemon. They are Debian's xenstore-utils and xen-utils."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.real_clients.daemons import RunningDaemon, environment

TOOL_DEADLINE_S: Final = 60
Tools = Callable[..., str]
"""Runs `xenstore-TOOL ARGS...`, expects the status (0 by default), gives what it prints."""


def private_program(name: str) -> Path:
    """A program of Xen that is not on the path: of the newest Xen that has it."""
    found = sorted(Path("/usr/lib").glob(f"xen-4.*/bin/{name}"))
    assert found, f"no {name} in /usr/lib/xen-*/bin: install xen-utils"
    return found[-1]


def run(
    variables: dict[str, str], *command: str | Path, status: int = 0
) -> subprocess.CompletedProcess[str]:
    """A program that ended by itself, with this status."""
    done = subprocess.run(
        command,
        env=variables,
        capture_output=True,
        text=True,
        timeout=TOOL_DEADLINE_S,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def tools_on(daemon: RunningDaemon) -> Tools:
    """The tools, led to this daemon by their environment."""

    def tool(name: str, *args: str, status: int = 0) -> str:
        return run(environment(daemon), f"xenstore-{name}", *args, status=status).stdout

    return tool
