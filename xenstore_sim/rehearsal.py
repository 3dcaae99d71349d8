"""Tries a program as a child, with the state as it is now, while the daemon serves on.

The child is a copy of the daemon first: it writes the state down, which takes a while, and nothing
changes for it meanwhile. Then it becomes the program, which reads the state and opens nothing.
"""

import gc
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final, Self

import trio

from xenstore_sim.memory_file import memory_file

CHECK_OPTION: Final = "--check-state"
"""Its argument is the descriptor of the state."""
CHECK_S: Final = 60.0
"""How long the other program may take to look at the state. Clients are served meanwhile."""
_SAID_MAX: Final = 500
"""Characters of what it says against it."""
_HEARD_MAX: Final = 64 * 1024
_PORTION: Final = 4096
_NOT_STARTED: Final = 127


def acceptance(size: int) -> str:
    """What a program says that can go on with a state of so many bytes."""
    return f"can take over a state of {size} bytes"


async def refusal(command: Sequence[str], state: Callable[[], bytes]) -> str | None:
    """Why the program would not go on with the state, in ASCII; None: it would.

    state: called in the copy; it may raise nothing but OSError and ValueError. Raises: OSError.
    """
    with _Child(command, state) as child:
        said = None
        with trio.move_on_after(CHECK_S):
            said = await child.words()
            await trio.lowlevel.wait_readable(child.watched)
        status = child.end()
    if said is None:
        return f"{ascii(command[0])[1:-1]} did not look at the state within {CHECK_S:g} s."
    return _judged(command[0], status, said)


class _Child:
    """The copy that becomes the program; gone when the block ends."""

    def __init__(self, command: Sequence[str], state: Callable[[], bytes]) -> None:
        self._command = command
        self._state = state
        self._opened = ExitStack()
        self._status: int | None = None

    def __enter__(self) -> Self:
        """Raises: OSError."""
        with ExitStack() as opened:
            self._heard, says = os.pipe()
            opened.callback(os.close, self._heard)
            with os.fdopen(says):
                os.set_blocking(self._heard, False)
                self._pid = os.fork()
                if not self._pid:
                    _become(self._command, self._state, says)
            opened.callback(self.end)
            self.watched = os.pidfd_open(self._pid)
            opened.callback(os.close, self.watched)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._opened.close()

    async def words(self) -> bytes:
        """What it writes until nobody can any more; of too much the beginning and the end."""
        said = bytearray()
        while True:
            try:
                portion = os.read(self._heard, _PORTION)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._heard)
                continue
            if not portion:
                return bytes(said)
            said += portion
            del said[_HEARD_MAX:-_PORTION]

    def end(self) -> int:
        """Its exit status; minus the signal that ended it, which may be ours."""
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)
            _, status = os.waitpid(self._pid, 0)
            self._status = os.waitstatus_to_exitcode(status)
        return self._status


def _judged(program: str, status: int, said: bytes) -> str | None:
    size, *words = said.decode(errors="replace").splitlines() or [""]
    if not status and words[-1:] == [acceptance(int(size))]:
        return None
    # It becomes part of a reply, which is bytes and has a bound, and of a line for the operator.
    last = words[-1].strip()[:_SAID_MAX] if words else "it said nothing"
    return ascii(f"{program} does not take over, status {status}: {last}")[1:-1]


def _become(command: Sequence[str], state: Callable[[], bytes], says: int) -> None:
    """Write the state down, and be the program. There is no return."""
    try:
        os.dup2(says, 1)
        os.dup2(says, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        gc.disable()
        data = state()
        os.write(1, b"%d\n" % len(data))
        with memory_file(data) as fd:
            os.set_inheritable(fd, True)
            os.execv(command[0], [*command, CHECK_OPTION, str(fd)])
    except OSError as error:
        os.write(2, f"\n{error.strerror or error}: {error.filename or command[0]}".encode())
    except ValueError as error:
        # Such as a name that is not UTF-8.
        os.write(2, f"\nthe state cannot be written: {error}".encode(errors="backslashreplace"))
    finally:
        os._exit(_NOT_STARTED)
