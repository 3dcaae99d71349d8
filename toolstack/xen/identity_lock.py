"""One toolstack at a time for a uuid: by it a domain is found, and taken away again."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from handoff.errors import HypervisorError


@contextmanager
def identity_lock(identity: UUID) -> Iterator[None]:
    """No other toolstack of this host builds or has a domain of this uuid in the meantime.

    A name of Linux's abstract sockets: nothing of it is left, however its holder ends.
    Raises: HypervisorError if another one does.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as holder:
        try:
            holder.bind(f"\0direct-boot/{identity}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise HypervisorError(f"the uuid {identity} cannot be locked: {error}") from error
            raise HypervisorError(
                f"another toolstack has a domain of the uuid {identity}, or builds it: wait for "
                "its end, or write another uuid"
            ) from error
        yield
