"""What leaves at the end of a round: the output of all who were told something, then replies.

Not sooner: each send wakes a client. Where that shares our CPU it often runs at once, and what
the next client asks waits for two switches of processes. In the end all are woken one right after
the other, by loops that do nothing else between two sends. Replies come last, so that whoever
hears one knows that the events are on their way, and is not woken before.
"""

from collections.abc import Mapping

from xenstore_sim.endpoint import GONE, Connected, Stream
from xenstore_sim.store.watches import ConnId


class Outgoing:
    """Who gets something."""

    __slots__ = ("_behind", "_connections", "_replies", "_woken")

    def __init__(self, connections: Mapping[ConnId, Connected]) -> None:
        self._connections = connections
        self._replies: dict[ConnId, tuple[Stream, bytes]] = {}
        self._woken: dict[ConnId, None] = {}
        self._behind: list[ConnId] = []
        """Those of the woken whose reply is to be sent before."""

    def reply(self, conn_id: ConnId, stream: Stream, reply: bytes) -> None:
        """This is for the client, ahead of any output of the same connection."""
        self._replies[conn_id] = stream, reply

    def wake(self, conn_id: ConnId) -> None:
        """The daemon has output for this connection."""
        self._woken[conn_id] = None

    def flush(self) -> None:
        """Send all of it, and what comes up by that."""
        while self._woken:
            self._send_output()
        if self._replies:
            self._send_replies()
        while self._woken:
            self._send_output()

    def _send_replies(self) -> None:
        replies = list(self._replies.values())
        self._replies.clear()
        for (stream, reply), size in zip(replies, _sent(replies), strict=True):
            if size != len(reply):
                stream.replied(reply, size)
        if self._behind:
            self._woken.update(dict.fromkeys(self._behind))
            self._behind.clear()

    def _send_output(self) -> None:
        woken, self._woken = self._woken, {}
        offers = []
        for conn_id in woken:
            connection = self._connections.get(conn_id)
            if conn_id in self._replies:
                self._behind.append(conn_id)
            elif connection is not None and (offer := connection.offer()) is not None:
                offers.append(offer)
        left = [
            (stream, size)
            for (stream, _), size in zip(offers, _sent(offers), strict=True)
            if not stream.account(size)
        ]
        # After that: what comes of it may drop what waits, and that must not be what is sent.
        for stream, size in left:
            stream.go_on(size)


def _sent(offers: list[tuple[Stream, bytes]]) -> list[int]:
    """How many bytes of it each client took, or `GONE`."""
    taken = []
    for stream, output in offers:
        try:
            size = stream.send(output)
        except (BlockingIOError, InterruptedError):
            size = 0
        except OSError:
            size = GONE
        taken.append(size)
    return taken
