"""Three process attributes: not dumpable, dies with its parent, gains nothing by exec."""

from __future__ import annotations

import os
import signal

from handoff.confinement.layers import ConfinementError, Layer, Outcome, State
from handoff.confinement.libc import describe, prctl

__all__ = [
    "die_with_parent",
    "forbid_dumps",
    "forbid_new_privileges",
    "kill_with_parent",
    "require_parent",
]

# Source: include/uapi/linux/prctl.h.
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


def forbid_dumps() -> Outcome:
    """What came of closing /proc/<pid> and ptrace to other processes of the same user."""
    try:
        prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, 0)
    except OSError as error:
        return Outcome(Layer.NO_DUMP, State.UNAVAILABLE, describe(error))
    return Outcome(Layer.NO_DUMP, State.APPLIED, "no core file, no ptrace by its own user")


def kill_with_parent() -> None:
    """Asks for SIGKILL at the parent's death; a change of ids undoes it. Raises: OSError."""
    prctl("PR_SET_PDEATHSIG", _PR_SET_PDEATHSIG, signal.SIGKILL)


def require_parent(parent_pid: int) -> None:
    """Nothing. Raises: ConfinementError if the parent is no longer `parent_pid`."""
    parent = os.getppid()
    if parent != parent_pid:
        raise ConfinementError(
            f"parent process {parent_pid} is gone (now {parent}): a confined process does not"
            " outlive the one that started it"
        )


def die_with_parent(parent_pid: int) -> Outcome:
    """What came of asking for SIGKILL at the parent's death; a change of ids undoes it.

    parent_pid: who is to be outlived by nobody. Raises: ConfinementError if that one is gone
    already: it went before the kernel was asked, so no signal will come.
    """
    try:
        kill_with_parent()
    except OSError as error:
        return Outcome(Layer.PARENT_DEATH, State.UNAVAILABLE, describe(error))
    if os.getppid() == 0:
        # The parent is the waiter outside the pid namespace, which dies with its own.
        detail = f"SIGKILL when process {parent_pid}, or the waiter outside, ends"
        return Outcome(Layer.PARENT_DEATH, State.APPLIED, detail)
    require_parent(parent_pid)
    return Outcome(Layer.PARENT_DEATH, State.APPLIED, f"SIGKILL when process {parent_pid} ends")


def forbid_new_privileges() -> Outcome:
    """What came of making execve unable to grant anything; Landlock and seccomp need it."""
    try:
        prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)
    except OSError as error:
        return Outcome(Layer.NO_NEW_PRIVS, State.UNAVAILABLE, describe(error))
    return Outcome(Layer.NO_NEW_PRIVS, State.APPLIED, "")
