"""A pid namespace of its own: no other process can be named, and none is left behind.

Entering takes a fork: the process goes on as the first of the namespace, under the same
descriptors and memory, and what was started stays outside as its waiter. The waiter has nothing
but its child: no descriptor, no capability, and a filter that lets it wait and end. It ends as
its child does, so whoever started it sees no difference; when it is killed, so is the child, and
with the first process of a namespace all that might be in it.

Source: pid_namespaces(7).
"""

from __future__ import annotations

import os
import resource
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from handoff.confinement.bpf import Condition, Rule
from handoff.confinement.descriptors import close_everything
from handoff.confinement.layers import Layer, Outcome, State
from handoff.confinement.libc import describe, invoke
from handoff.confinement.privileges import drop_capabilities
from handoff.confinement.process import forbid_dumps, forbid_new_privileges, kill_with_parent
from handoff.confinement.seccomp import FilterRefused, Violation, filter_by

__all__ = ["enter_pid_namespace"]

_CLONE_NEWPID = 0x2000_0000
_ORPHANED = 1
"""Exit status of a first process whose waiter was killed before it could be asked to follow."""

_WAITING = (
    *("wait4", "exit_group", "exit", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn"),
    *("brk", "munmap", "mmap", "futex", "restart_syscall", "getpid"),
)


def enter_pid_namespace(dies_with: Callable[[], object]) -> Outcome:
    """What came of it; where it came to pass, the caller is another process from here on.

    dies_with: what ties the waiter to its own parent; it may raise, and all of it ends.
    """
    try:
        _unshare()
        waiter = os.pidfd_open(os.getpid())
    except OSError as error:
        return Outcome(Layer.PID_NAMESPACE, State.UNAVAILABLE, describe(error))
    outside = os.getpid()
    try:
        child = os.fork()
    except OSError as error:
        os.close(waiter)
        return Outcome(Layer.PID_NAMESPACE, State.UNAVAILABLE, f"fork: {error.strerror}")
    if child:
        _wait_for(child, dies_with)
    # Nothing from here on makes the kernel forget this, as a change of ids would.
    kill_with_parent()
    gone = select.poll()
    gone.register(waiter, select.POLLIN)
    if gone.poll(0):
        os._exit(_ORPHANED)
    os.close(waiter)
    return Outcome(Layer.PID_NAMESPACE, State.APPLIED, f"its own, process {outside} waits outside")


def _unshare() -> None:
    try:
        invoke("unshare", _CLONE_NEWPID)
    except OSError as error:
        raise OSError(error.errno, "unshare(CLONE_NEWPID)") from error


def _wait_for(child: int, dies_with: Callable[[], object]) -> NoReturn:
    """Waits for `child` and ends as it ended, by the same status or the same signal."""
    status = _ORPHANED
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        # A terminal that the child was the last to hold hangs up on this process.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        dies_with()
        _give_up_everything()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status < 0:
            _end_by(-status)
    finally:
        # Whatever went wrong: this process must not go on as if it were the child.
        os._exit(status if status >= 0 else 128 - status)


def _give_up_everything() -> None:
    """As far as this kernel lets it: what is missing is in the report of the one inside."""
    with suppress(OSError):
        close_everything()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    forbid_dumps()
    drop_capabilities()
    forbid_new_privileges()
    with suppress(FilterRefused):
        filter_by(_waiting_rules(os.getpid()), Violation.REFUSE)


def _waiting_rules(pid: int) -> tuple[Rule, ...]:
    own = Condition(0, 0xFFFF_FFFF, pid)
    return (*(Rule(name) for name in _WAITING), Rule("kill", (own,)))


def _end_by(number: int) -> None:
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
