"""A process that makes attempts, confines itself, and makes them again: `python -m` this.

Reads one JSON object from its first argument; writes one of what came before the attempts are
made again, and one of what came of them.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

from handoff.confinement import Layer, Mode, Profile, confine, prepare
from handoff.confinement.preload import preload_for_errors
from tests.handoff.confinement.attempts import ATTEMPTS, Attempt

# No errno.
_BROKEN = 255


def _error_of(attempt: Attempt) -> int:
    """The errno of `attempt`, 0 where it got through."""
    try:
        attempt()
    except OSError as error:
        return error.errno or _BROKEN
    return 0


def _error_in_fork(attempt: Attempt) -> int:
    """The same, leaving no trace of the attempt in this process."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(_error_of(attempt))
        finally:
            os._exit(_BROKEN)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _become(uid: int) -> None:
    """An ordinary user who started this process, as far as the kernel can tell."""
    preload_for_errors()  # the interpreter may lie where only root can read
    os.setgroups(())
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which the change of ids cleared


def main() -> None:
    order = json.loads(sys.argv[1])
    only = frozenset(Layer[name] for name in order["layers"])
    if order["uid"] is not None and os.getuid() == 0:
        _become(order["uid"])
    made, before = {}, {}
    # Where executing a program gets through, nothing comes after it.
    for name in sorted(order["attempts"], key="execute_a_program".__eq__):
        try:
            made[name] = ATTEMPTS[name]()
        except OSError as error:  # cannot even be set up
            before[name] = error.errno
        else:
            before[name] = _error_in_fork(made[name])
    prepared = prepare(
        mode=Mode.AUTO,
        # A leak is a descriptor that is not listed; what attempts set up is listed.
        keep_fds=[fd for fd in range(50) if _is_open(fd)],
        without=frozenset(Layer) - only,
    )
    report = confine(
        prepared,
        Profile[order["profile"]],
        address_space_bytes=order["address_space_bytes"],
    )
    seen = {
        "before": before,
        "states": {outcome.layer.name: outcome.state.name for outcome in report.outcomes},
        "details": {outcome.layer.name: outcome.detail for outcome in report.outcomes},
    }
    print(json.dumps(seen), flush=True)
    print(json.dumps({name: _error_of(attempt) for name, attempt in made.items()}))


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
