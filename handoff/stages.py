"""The stages of the device model's half, in order, and which one may come after which.

discover -> verify -> place -> move -> insert -> ready; `failed` may come after any but the
last. The words are what crosses xenstore.
"""

from __future__ import annotations

from enum import Enum


class Stage(Enum):
    DISCOVERED = "discovered"
    """the offer was seen and its frame decoded"""
    VERIFIED = "verified"
    """every image in guest RAM has the digest that was announced"""
    PLACED = "placed"
    """each image has a final place, and firmware leaves it alone"""
    MOVED = "moved"
    """what may already lie at its final place does"""
    INSERTED = "inserted"
    """the BIOS extension and its parameter block are in guest RAM and were read back"""
    READY = "ready"
    """all of it was digested again: the guest may be unpaused"""
    FAILED = "failed"
    """the error node, written before, says why; nothing will boot"""

    @property
    def is_last(self) -> bool:
        """No stage comes after this one."""
        return self in (Stage.READY, Stage.FAILED)


ORDER: tuple[Stage, ...] = (
    Stage.DISCOVERED,
    Stage.VERIFIED,
    Stage.PLACED,
    Stage.MOVED,
    Stage.INSERTED,
    Stage.READY,
)
"""The way to success; FAILED stands beside it."""


def next_stage(after: Stage | None) -> Stage | None:
    """The stage that success reaches from `after` (None: nothing done yet), None at an end."""
    if after is None:
        return ORDER[0]
    return None if after.is_last else ORDER[ORDER.index(after) + 1]


def may_write(stage: Stage, after: Stage | None) -> bool:
    """The writer's law: one step at a time, or FAILED before an end was reached."""
    if stage is Stage.FAILED:
        return after is None or not after.is_last
    return stage is next_stage(after)


def may_read(stage: Stage, after: Stage | None) -> bool:
    """The reader's law: never back, and nothing new after an end.

    A reader may miss stages, because xenstored merges events that wait in its queue, and
    may see one twice, because a watch fires without a change.
    """
    if after is None or stage is after:
        return True
    if after.is_last:
        return False
    return stage is Stage.FAILED or ORDER.index(stage) > ORDER.index(after)
