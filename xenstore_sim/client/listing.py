"""A directory listing that came in portions, because it is longer than a message; no I/O."""

from xenstore_sim.wire.errors import ProtocolViolation
from xenstore_sim.wire.strings import strings


class PartialListing:
    """Portions of one directory, put together until the last.

    Source: docs/misc/xenstore.txt, DIRECTORY_PART."""

    __slots__ = ("_children", "_generation", "complete")

    def __init__(self) -> None:
        self._generation = b""
        self._children = b""
        self.complete = False

    @property
    def offset(self) -> int:
        """Where the next portion has to begin, bytes."""
        return len(self._children)

    @property
    def names(self) -> tuple[str, ...]:
        """The children so far, in the daemon's order."""
        return tuple(strings(self._children))

    def add(self, payload: bytes) -> None:
        """Take the answer for `offset`; starts again when the directory changed meanwhile.

        Raises: ProtocolViolation.
        """
        generation, nul, portion = payload.partition(b"\0")
        if not nul or (portion and not portion.endswith(b"\0")):
            raise ProtocolViolation(f"a partial listing holds {payload[:32]!r}, not whole names")
        if self.offset and generation != self._generation:
            self._children = b""
            return
        self._generation = generation
        # The last portion carries one NUL more, and an empty one can only be the last.
        self.complete = portion in (b"", b"\0") or portion.endswith(b"\0\0")
        self._children += portion[:-1] if self.complete else portion
