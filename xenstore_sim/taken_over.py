"""What this program got from the one whose place it takes, until it has the place."""

import os
from contextlib import suppress

import trio

from xenstore_sim.handover_codec import decode_handover
from xenstore_sim.migration.errors import StateError
from xenstore_sim.store.daemon import Daemon
from xenstore_sim.succession import Succession


class TakenOver:
    """State and descriptors of a daemon that goes on with them should this program fail."""

    def __init__(self, fd: int) -> None:
        """fd: of the succession. Raises: HandingOverFailed, StateError, OSError."""
        self._succession = Succession(fd)
        state, numbers = self._succession.take()
        self._handover = decode_handover(state)
        descriptors = self._handover.descriptors
        if len(numbers) != len(descriptors.all()):
            reason = f"{len(descriptors.all())} descriptors, and {len(numbers)} are there"
            raise StateError("what follows the stream", reason)
        self.descriptors = descriptors.renumbered(numbers)
        self._copy: int | None = None

    def restore(self, daemon: Daemon) -> None:
        """Let a fresh daemon begin with the state. Raises: StateError."""
        self._handover.restore(daemon)

    def complete(self) -> None:
        """From the return on, this program serves, and nobody else. To be said before the first
        byte is read or sent. Raises: HandingOverFailed, OSError."""
        self._copy = self._succession.complete()

    async def await_end(self) -> None:
        """Return when the process is gone that served until then."""
        if self._copy is None:
            return
        try:
            watched = os.pidfd_open(self._copy)
        except OSError:
            # Ended already, and somebody else's child; or we have no descriptor to wait with.
            return
        try:
            await trio.lowlevel.wait_readable(watched)
        finally:
            os.close(watched)
        _reap(self._copy)


def _reap(pid: int) -> None:
    # No child of ours, where the old daemon's process became one that started us.
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
