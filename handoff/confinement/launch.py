"""Starts a process that is going to confine itself, with nothing of ours but what it is given."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence
from typing import IO

__all__ = ["spawn"]


def spawn(
    argv: Sequence[str],
    *,
    pass_fds: Collection[int],
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """The started process: cleared environment, `/` as directory, `pass_fds` and its streams only.

    It has a session of its own, so that a terminal's interrupt is ours to pass on.

    Call this from the main thread. The parent-death signal follows the *thread* that started the
    child, and a worker thread ends before the program does: `trio.run_process` starts its
    children in one, and the child would be killed ten seconds later. The call blocks only for
    the exec. Wait for the end with `os.pidfd_open` and `trio.lowlevel.wait_readable`.
    """
    return subprocess.Popen(
        list(argv),
        env={},
        cwd="/",
        close_fds=True,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
    )
