from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.toolstack.machine.qemu.qmp.test_protocol import GREETING
from toolstack.machine.qemu.qmp.protocol import Event, QmpViolation
from toolstack.machine.qemu.qmp.session import EVENTS_MAX, QmpClosed, QmpRefused, QmpSession

LIMIT_S = 10.0
OK = b'{"return": {}, "id": 1}\n'


class Qemu:
    """The other end: sends a greeting, and `answer` after the first command."""

    def __init__(self, answer: bytes, greeting: bytes = GREETING) -> None:
        ours, self._its = trio.testing.memory_stream_pair()
        self.session = QmpSession(ours)
        self.heard = b""
        self._greeting = greeting
        self._answer = answer

    async def serve(self) -> None:
        await self._its.send_all(self._greeting)
        self.heard += await self._its.receive_some()
        await self._its.send_all(self._answer)
        await self._its.send_stream.aclose()


async def negotiated(qemu: Qemu, nursery: trio.Nursery) -> str:
    nursery.start_soon(qemu.serve)
    with trio.fail_after(LIMIT_S):
        return await qemu.session.negotiate()


async def test_negotiation_enables_commands(nursery: trio.Nursery) -> None:
    qemu = Qemu(OK)
    assert await negotiated(qemu, nursery) == "7.2.22"
    assert qemu.heard == b'{"execute": "qmp_capabilities", "id": 1}\n'


async def test_events_around_a_reply_are_kept_in_order(nursery: trio.Nursery) -> None:
    qemu = Qemu(b'{"event": "A"}\n{"event": "B"}\n' + OK + b'{"event": "C"}\n')
    await negotiated(qemu, nursery)
    with trio.fail_after(LIMIT_S):
        assert [await qemu.session.next_event() for _ in "ABC"] == [Event(n, {}) for n in "ABC"]


async def test_flood_of_events_is_bounded_and_the_newest_stay(nursery: trio.Nursery) -> None:
    flood = b"".join(b'{"event": "E%d"}\n' % n for n in range(EVENTS_MAX + 3))
    qemu = Qemu(flood + OK)
    await negotiated(qemu, nursery)
    with trio.fail_after(LIMIT_S):
        assert await qemu.session.next_event() == Event("E3", {})


async def test_refusal_gives_qemus_words(nursery: trio.Nursery) -> None:
    qemu = Qemu(b'{"error": {"class": "GenericError", "desc": "not now"}, "id": 1}\n')
    with pytest.raises(QmpRefused, match="QEMU refused `qmp_capabilities`: not now"):
        await negotiated(qemu, nursery)


async def test_unasked_reply_is_a_violation(nursery: trio.Nursery) -> None:
    qemu = Qemu(OK + OK)
    with pytest.raises(QmpViolation):
        await negotiated(qemu, nursery)


async def test_second_greeting_is_a_violation(nursery: trio.Nursery) -> None:
    qemu = Qemu(GREETING)
    with pytest.raises(QmpViolation):
        await negotiated(qemu, nursery)


async def test_end_during_a_command_is_told(nursery: trio.Nursery) -> None:
    with pytest.raises(QmpClosed):
        await negotiated(Qemu(b""), nursery)


async def test_end_after_a_command_is_told(nursery: trio.Nursery) -> None:
    qemu = Qemu(OK)
    await negotiated(qemu, nursery)
    with trio.fail_after(LIMIT_S), pytest.raises(QmpClosed):
        await qemu.session.next_event()


async def test_end_before_the_greeting_is_told() -> None:
    ours, its = trio.testing.memory_stream_pair()
    session = QmpSession(ours)
    await its.aclose()
    with trio.fail_after(LIMIT_S), pytest.raises(QmpClosed):
        await session.negotiate()


async def test_reply_before_the_greeting_is_a_violation() -> None:
    ours, its = trio.testing.memory_stream_pair()
    session = QmpSession(ours)
    await its.send_all(b'{"return": {}}\n')
    with trio.fail_after(LIMIT_S), pytest.raises(QmpViolation):
        await session.negotiate()


async def test_two_readers_are_an_error_not_corruption() -> None:
    ours, _ = trio.testing.memory_stream_pair()
    session = QmpSession(ours)
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect_end, session)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await session.next_event()
            nursery.cancel_scope.cancel()


async def _expect_end(session: QmpSession) -> None:
    await session.next_event()
