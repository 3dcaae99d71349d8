"""Words for the daemon's operator, on standard error, which can neither stop nor end the daemon."""

import os
import select
from contextlib import suppress
from typing import Final

_FD: Final = 2
# Where poll says that a pipe takes something, it takes so much without blocking: pipe(7), PIPE_BUF.
_AT_ONCE: Final = select.PIPE_BUF


def tell(text: str) -> None:
    """Say it; what nobody takes now is lost."""
    line = f"xenstore-sim: {text}\n".encode("utf-8", "backslashreplace")
    room = select.poll()
    room.register(_FD, select.POLLOUT)
    # Closed, or nobody reads it: a daemon serves all the same.
    with suppress(OSError):
        while line and room.poll(0):
            line = line[os.write(_FD, line[:_AT_ONCE]) :]
