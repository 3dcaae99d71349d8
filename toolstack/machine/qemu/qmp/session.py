"""A QMP session over a trio stream.

It reads only while somebody waits for something, so it needs no task of its own; what QEMU
says in between waits in the socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import trio

from toolstack.machine.qemu.qmp.protocol import (
    Event,
    Greeting,
    Message,
    QmpConversation,
    QmpViolation,
    Refusal,
)

EVENTS_MAX = 64
"""Events kept for later; a guest can cause more, and then the oldest are dropped."""
_READ_BYTES = 16 * 1024


class QmpClosed(Exception):
    """QEMU closed the connection."""


class QmpRefused(Exception):
    """QEMU answered a command with an error."""


class QmpSession:
    """One user at a time: a second one gets trio.BusyResourceError."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        """The caller keeps and closes `stream`."""
        self._stream = stream
        self._conversation = QmpConversation()
        self._messages: deque[Message] = deque()
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)

    async def negotiate(self) -> str:
        """QEMU's version, once it takes commands.

        Raises: QmpClosed, QmpRefused, QmpViolation.
        """
        greeting = await self._next_message()
        if not isinstance(greeting, Greeting):
            raise QmpViolation(f"{type(greeting).__name__} instead of a greeting")
        await self.execute("qmp_capabilities")
        return greeting.version

    async def execute(self, name: str, arguments: Mapping[str, object] | None = None) -> object:
        """What the command `name` returns.

        Raises: QmpClosed, QmpRefused, QmpViolation. A cancelled call leaves its reply on
        the way, so the session must not be used after it.
        """
        number, request = self._conversation.command(name, arguments)
        try:
            await self._stream.send_all(request)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise QmpClosed(f"QEMU closed its monitor before `{name}`") from error
        while True:
            message = await self._next_message()
            if isinstance(message, Event):
                self._events.append(message)
            elif isinstance(message, Greeting) or message.id != number:
                raise QmpViolation(f"an answer to something else than `{name}`")
            elif isinstance(message, Refusal):
                raise QmpRefused(f"QEMU refused `{name}`: {message.description}")
            else:
                return message.value

    async def next_event(self) -> Event:
        """The oldest event not yet taken. Raises: QmpClosed, QmpViolation."""
        if self._events:
            await trio.lowlevel.checkpoint()
            return self._events.popleft()
        message = await self._next_message()
        if not isinstance(message, Event):
            raise QmpViolation("an answer to no command")
        return message

    async def _next_message(self) -> Message:
        while not self._messages:
            try:
                data = await self._stream.receive_some(_READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise QmpClosed("QEMU closed its monitor") from error
            if not data:
                raise QmpClosed("QEMU closed its monitor")
            self._messages.extend(self._conversation.receive(bytes(data)))
        return self._messages.popleft()
