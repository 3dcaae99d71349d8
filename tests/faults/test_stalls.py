"""What is late is told from what is lost."""

from __future__ import annotations

import trio
import trio.testing

from tests.faults.stalls import LATE_S, LOST_S, Seen, follow

STAGE = b'{"event": "stage", "stage": "%s"}\n'


async def _followed(*pauses: float) -> Seen:
    """What is seen of one handoff with a stage after each of these pauses, seconds, and then no
    more."""
    seen = Seen()
    toolstack, observer = trio.testing.memory_stream_one_way_pair()

    async def hand_over() -> None:
        for pause, stage in zip(pauses, (b"discovered", b"left"), strict=False):
            await trio.sleep(pause)
            await toolstack.send_all(STAGE % stage)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hand_over)
        await follow(1, observer, seen)
    return seen


async def test_a_stage_in_time_is_neither_late_nor_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    seen = await _followed(LATE_S / 2, LATE_S / 2)
    assert (seen.handoffs, seen.late, seen.lost) == (1, 0, 0)


async def test_a_stage_that_comes_at_last_was_late(autojump_clock: trio.testing.MockClock) -> None:
    seen = await _followed(LOST_S - 1, LATE_S / 2)
    assert (seen.handoffs, seen.late, seen.lost) == (1, 1, 0)
    assert seen.gaps == {"discovered": [LOST_S - 1], "left": [LATE_S / 2]}


async def test_a_stage_that_does_not_come_was_lost(autojump_clock: trio.testing.MockClock) -> None:
    seen = await _followed(LATE_S / 2)
    assert (seen.handoffs, seen.late, seen.lost) == (0, 1, 1)
