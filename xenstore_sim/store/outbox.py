"""Packets for one client that it has not taken yet."""

from collections import deque
from collections.abc import Iterator
from enum import Enum, auto
from itertools import islice
from typing import Final

REPLY_BYTES_MAX: Final = 64 * 1024
"""Waiting bytes from which on no more requests are taken from this client."""
EVENT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Waiting bytes from which on an event finds no room: the client does not read."""
EVENT_BYTES_TOLD: Final = 1024 * 1024
"""Waiting bytes from which on the operator is to hear of the client, once."""
PACKETS_AT_ONCE: Final = 256


class Put(Enum):
    """What became of an event."""

    QUEUED = auto()
    SUPPRESSED = auto()
    """The same event waits already."""
    UNREAD = auto()
    """Nothing is done: so much waits that somebody is to be told, before `told`."""
    NO_ROOM = auto()


# Looked up once: a member of an enum is a call each time.
_QUEUED: Final = Put.QUEUED
_SUPPRESSED: Final = Put.SUPPRESSED
_NO_ROOM: Final = Put.NO_ROOM
_UNREAD: Final = Put.UNREAD


class Unfinished:
    """A request that caused events for others: finished when they and its reply are taken."""

    __slots__ = ("_waiting", "asker")

    def __init__(self, asker: "Outbox") -> None:
        """asker: where its reply goes."""
        self.asker = asker
        self._waiting = 0

    def wait(self) -> None:
        """One more packet of it waits."""
        self._waiting += 1

    def taken(self) -> None:
        """One packet of it was taken, or dropped."""
        self._waiting -= 1
        if not self._waiting:
            self.asker.unfinished -= 1


_Key = bytes | tuple[bytes, Unfinished] | Unfinished | None
"""Of a packet: the event's payload, with the request of another client that caused it if that waits
for it; for a reply its request, if others wait too."""


class Outbox:
    """A queue in order of making; events in it are remembered, to queue none twice."""

    __slots__ = (
        "_caused",
        "_event_keys",
        "_expiries",
        "_gone",
        "_keys",
        "_packets",
        "_room",
        "_taken",
        "replies",
        "unfinished",
        "waiting",
    )

    def __init__(self) -> None:
        self._packets: deque[bytes] = deque()
        self._keys: deque[_Key] = deque()
        self._event_keys: set[bytes] = set()
        self._room = EVENT_BYTES_TOLD
        self._caused = 0
        """Events that requests of others wait for."""
        self.waiting = 0
        """Bytes of all that is not sent; for others to read."""
        self._taken = 0
        """Bytes of the first packet that are sent."""
        self._expiries: list[tuple[float, int]] = []
        """A moment, and the number of the first packet whose events may stay longer."""
        self._gone = 0
        """Packets that were taken one by one, or expired: what waits is numbered from here."""
        self.replies = 0
        """Replies waiting, but for those of `unfinished` requests."""
        self.unfinished = 0
        """Requests of this client that caused events for others, and are not finished."""

    def put_reply(self, packet: bytes, unfinished: Unfinished | None = None) -> None:
        """Queue a reply, always: whoever asks for it checks `full` before."""
        self._packets.append(packet)
        self._keys.append(unfinished)
        self.waiting += len(packet)
        if unfinished is None:
            self.replies += 1
        else:
            self.unfinished += 1
            unfinished.wait()

    def put_back(self, packet: bytes, taken: int) -> None:
        """Queue a reply ahead of all that waits. taken: bytes of it that are sent already."""
        self._packets.appendleft(packet)
        self._keys.appendleft(None)
        self._gone -= 1
        self._taken = taken
        self.waiting += len(packet) - taken
        self.replies += 1

    def put_event(
        self, packet: bytes, key: bytes, *, always: bool = False, cause: Unfinished | None = None
    ) -> Put:
        """Queue an event. key: its payload. always: even when the same one waits already.
        cause: the request of another client that waits until this event is taken.
        """
        if key in self._event_keys and not always:
            return _SUPPRESSED
        if self.waiting + len(packet) > self._room:
            return _NO_ROOM if self._room == EVENT_BYTES_MAX else _UNREAD
        self._packets.append(packet)
        self._event_keys.add(key)
        self.waiting += len(packet)
        if cause is None:
            self._keys.append(key)
        else:
            self._keys.append((key, cause))
            self._caused += 1
            cause.wait()
        return _QUEUED

    def told(self) -> None:
        """Somebody knows how much waits."""
        self._room = EVENT_BYTES_MAX

    def pending(self, most: int = PACKETS_AT_ONCE) -> bytes:
        """The bytes to be sent next, in order; of a long queue only its first packets.

        Joining all of a long queue each time some of it is sent would cost its square.
        """
        packets = self._packets
        joined = packets[0] if len(packets) == 1 else b"".join(islice(packets, most))
        return joined[self._taken :] if self._taken else joined

    def take(self, size: int) -> None:
        """The client took the first `size` bytes."""
        self.waiting -= size
        if not self.waiting:
            self._forget()
            return
        size += self._taken
        while size >= len(self._packets[0]):
            size -= len(self._packets.popleft())
            self._gone += 1
            self._finish(self._keys.popleft())
        self._taken = size
        while self._expiries and self._expiries[0][1] <= self._gone:
            self._expiries.pop(0)

    def let_expire(self, deadline: float) -> None:
        """Let `expire` drop the events that wait now, from this moment on; none before others that
        were told an earlier one."""
        end = self._gone + len(self._packets)
        if end > (self._expiries[-1][1] if self._expiries else self._gone):
            self._expiries.append((deadline, end))

    def expire(self, now: float) -> int:
        """Drop events whose moment has come, unless a part of them is sent already; how many."""
        end = self._gone
        while self._expiries and self._expiries[0][0] <= now:
            end = self._expiries.pop(0)[1]
        kept: list[tuple[bytes, _Key]] = []
        dropped = 0
        for number in range(end - self._gone):
            packet, key = self._packets.popleft(), self._keys.popleft()
            if isinstance(key, bytes | tuple) and not (number == 0 and self._taken):
                self._finish(key)
                self.waiting -= len(packet)
                dropped += 1
            else:
                kept.append((packet, key))
        for packet, key in reversed(kept):
            self._packets.appendleft(packet)
            self._keys.appendleft(key)
        self._gone += dropped
        return dropped

    @property
    def count(self) -> int:
        """Packets that wait."""
        return len(self._packets)

    def packets(self) -> Iterator[tuple[bytes, Unfinished | None]]:
        """What waits, each packet whole, with the request that is unfinished until it is taken."""
        for packet, key in zip(self._packets, self._keys, strict=True):
            match key:
                case bytes():
                    yield packet, None
                case (_, cause):
                    yield packet, cause
                case reply:
                    yield packet, reply

    @property
    def taken(self) -> int:
        """Bytes of the first packet that are sent."""
        return self._taken

    @property
    def expires(self) -> float | None:
        """When the next events are to be dropped; None: none are."""
        return self._expiries[0][0] if self._expiries else None

    def clear(self) -> None:
        """Drop all that waits."""
        self.waiting = 0
        self._forget()

    @property
    def outstanding(self) -> int:
        """Requests that are not finished: their replies or events they caused wait."""
        return self.replies + self.unfinished

    @property
    def full(self) -> bool:
        """Whether requests have to wait until the client took replies."""
        return self.waiting >= REPLY_BYTES_MAX

    @property
    def torn(self) -> bool:
        """Whether the client has a part of a packet, and needs the rest to make sense of more."""
        return self._taken > 0

    def __len__(self) -> int:
        return self.waiting

    def _finish(self, key: _Key) -> None:
        if key is None:
            self.replies -= 1
        elif isinstance(key, bytes):
            self._event_keys.discard(key)
        elif isinstance(key, Unfinished):
            key.taken()
        else:
            event_key, cause = key
            self._event_keys.discard(event_key)
            self._caused -= 1
            cause.taken()

    def _forget(self) -> None:
        if self.unfinished or self._caused:
            for key in self._keys:
                self._finish(key)
        self._packets.clear()
        self._keys.clear()
        if self._event_keys:
            self._event_keys.clear()
        if self._expiries:
            self._expiries.clear()
        self._taken = 0
        self.replies = 0
