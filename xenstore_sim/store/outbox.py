"""Packets for one client that it has not taken yet."""

from collections import deque
from enum import Enum, auto
from itertools import islice
from typing import Final

REPLY_BYTES_MAX: Final = 64 * 1024
"""Waiting bytes from which on no more requests are taken from this client."""
EVENT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Waiting bytes from which on an event finds no room: the client does not read."""
_PACKETS_AT_ONCE: Final = 256


class Put(Enum):
    """What became of an event."""

    QUEUED = auto()
    SUPPRESSED = auto()
    """The same event waits already."""
    NO_ROOM = auto()


class Outbox:
    """A queue in order of making; events in it are remembered, to queue none twice."""

    __slots__ = ("_event_keys", "_keys", "_packets", "_size", "_taken", "replies")

    def __init__(self) -> None:
        self._packets: deque[bytes] = deque()
        self._keys: deque[bytes | None] = deque()
        """Of each packet: the event's payload, or None for a reply."""
        self._event_keys: set[bytes] = set()
        self._size = 0
        self._taken = 0
        """Bytes of the first packet that are sent."""
        self.replies = 0
        """Replies waiting."""

    def put_reply(self, packet: bytes) -> None:
        """Queue a reply, always: whoever asks for it checks `full` before."""
        self._packets.append(packet)
        self._keys.append(None)
        self._size += len(packet)
        self.replies += 1

    def put_event(self, packet: bytes, key: bytes, *, always: bool = False) -> Put:
        """Queue an event. key: its payload. always: even when the same one waits already."""
        if key in self._event_keys and not always:
            return Put.SUPPRESSED
        if self._size + len(packet) > EVENT_BYTES_MAX:
            return Put.NO_ROOM
        self._packets.append(packet)
        self._keys.append(key)
        self._event_keys.add(key)
        self._size += len(packet)
        return Put.QUEUED

    def pending(self) -> bytes:
        """The bytes to be sent next, in order; of a long queue only a first part.

        Joining all of a long queue each time some of it is sent would cost its square.
        """
        packets = self._packets
        joined = packets[0] if len(packets) == 1 else b"".join(islice(packets, _PACKETS_AT_ONCE))
        return joined[self._taken :] if self._taken else joined

    def take(self, size: int) -> None:
        """The client took the first `size` bytes."""
        self._size -= size
        if not self._size:
            self._forget()
            return
        size += self._taken
        while size >= len(self._packets[0]):
            size -= len(self._packets.popleft())
            key = self._keys.popleft()
            if key is None:
                self.replies -= 1
            else:
                self._event_keys.discard(key)
        self._taken = size

    def clear(self) -> None:
        """Drop all that waits."""
        self._size = 0
        self._forget()

    @property
    def full(self) -> bool:
        """Whether requests have to wait until the client took replies."""
        return self._size >= REPLY_BYTES_MAX

    @property
    def torn(self) -> bool:
        """Whether the client has a part of a packet, and needs the rest to make sense of more."""
        return self._taken > 0

    def __len__(self) -> int:
        return self._size

    def _forget(self) -> None:
        self._packets.clear()
        self._keys.clear()
        self._event_keys.clear()
        self._taken = 0
        self.replies = 0
