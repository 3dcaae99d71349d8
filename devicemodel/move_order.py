"""The order in which ranges of RAM are moved, so that nothing is overwritten before it is read.

The result is what a simultaneous copy of all moves would give. A move must come before every
other one that writes into its source; where such rules run in a circle, one source is first
saved to a scratch range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from handoff.addresses import Gpa, GpaRange, first_overlap


@dataclass(frozen=True, slots=True)
class Move:
    """`source` to `to`, as memmove: the two may overlap."""

    name: str
    source: GpaRange
    to: Gpa

    @property
    def target(self) -> GpaRange:
        return GpaRange(self.to, self.source.size)


def order_moves(moves: Sequence[Move], scratch: Callable[[int], GpaRange]) -> tuple[Move, ...]:
    """`moves` in a safe order, with saves to scratch where there is a circle.

    scratch: gives a range of so many bytes that no move reads or writes, another one each
    time; called at most once for each move of a circle. Raises: whatever `scratch` raises.
    The targets must be disjoint.
    """
    assert first_overlap(move.target for move in moves) is None
    waiting = [move for move in moves if move.source.start != move.to]
    ordered: list[Move] = []
    while waiting:
        # A stayed image (source == to) has no entry here: placement keeps targets disjoint
        # from it, because it is itself a target.
        ready = next((move for move in waiting if _victim(move, waiting) is None), None)
        if ready is None:
            saved = min(_circle(waiting), key=lambda move: move.source.size)
            room = scratch(saved.source.size)
            ordered.append(Move(f"{saved.name} (aside)", saved.source, room.start))
            waiting[waiting.index(saved)] = replace(saved, source=room)
            continue
        waiting.remove(ready)
        ordered.append(ready)
    return tuple(ordered)


def _victim(move: Move, waiting: Sequence[Move]) -> Move | None:
    """Another waiting move that has yet to read what `move` writes, if there is one."""
    return next(
        (other for other in waiting if other is not move and move.target.overlaps(other.source)),
        None,
    )


def _circle(waiting: Sequence[Move]) -> Sequence[Move]:
    """Moves of which each destroys the next one's source; every waiting move has a victim."""
    path = [waiting[0]]
    while True:
        following = _victim(path[-1], waiting)
        assert following is not None
        if following in path:
            return path[path.index(following) :]
        path.append(following)
