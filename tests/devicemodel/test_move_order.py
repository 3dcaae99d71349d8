from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.move_order import Move, order_moves
from handoff.addresses import Gpa, GpaRange, first_overlap
from handoff.errors import PlacementError
from tests.builders import noise

SIZE = 40
"""Bytes of RAM that moves may touch; scratch begins behind."""


def move(source: int, to: int, size: int) -> Move:
    return Move(f"{source}", GpaRange(Gpa(source), size), Gpa(to))


class Scratch:
    """Gives room behind all moves, never the same twice."""

    def __init__(self) -> None:
        self.given: list[GpaRange] = []

    def __call__(self, size: int) -> GpaRange:
        at = self.given[-1].end if self.given else SIZE
        self.given.append(GpaRange(Gpa(at), size))
        return self.given[-1]


def done_in_order(moves: list[Move], scratch: Scratch) -> bytes:
    ram = bytearray(noise(SIZE, 1)) + bytearray(10 * SIZE)
    for step in order_moves(moves, scratch):
        piece = bytes(ram[step.source.start : step.source.end])
        ram[step.to : step.to + len(piece)] = piece
    return bytes(ram[:SIZE])


def done_at_once(moves: list[Move]) -> bytes:
    before = noise(SIZE, 1)
    after = bytearray(before)
    for step in moves:
        after[step.to : step.to + step.source.size] = before[step.source.start : step.source.end]
    return bytes(after)


@st.composite
def any_moves(draw: st.DrawFn) -> list[Move]:
    """Moves with disjoint targets; sources may overlap targets and each other."""
    found: list[Move] = []
    for _ in range(draw(st.integers(1, 6))):
        size = draw(st.integers(1, 12))
        one = move(draw(st.integers(0, SIZE - size)), draw(st.integers(0, SIZE - size)), size)
        if first_overlap([*(m.target for m in found), one.target]) is None:
            found.append(one)
    return found


@given(any_moves())
def test_an_ordered_plan_equals_a_simultaneous_copy(moves: list[Move]) -> None:
    assert done_in_order(moves, Scratch()) == done_at_once(moves)


@given(any_moves())
def test_scratch_is_for_circles_alone(moves: list[Move]) -> None:
    scratch = Scratch()
    order_moves(moves, scratch)
    assert len(scratch.given) <= circles(moves)


def circles(moves: list[Move]) -> int:
    """Moves that are, through others, in their own way."""
    moving = [m for m in moves if m.source.start != m.to]
    ahead = {
        index: {
            other
            for other, m in enumerate(moving)
            if other != index and moving[index].target.overlaps(m.source)
        }
        for index in range(len(moving))
    }

    def reached(start: int) -> set[int]:
        seen: set[int] = set()
        todo = list(ahead[start])
        while todo:
            here = todo.pop()
            if here not in seen:
                seen.add(here)
                todo.extend(ahead[here])
        return seen

    return sum(index in reached(index) for index in ahead)


def test_a_move_waits_for_the_one_whose_source_it_overwrites() -> None:
    first, second = move(0, 10, 4), move(10, 20, 4)
    assert order_moves([first, second], Scratch()) == (second, first)


def test_what_already_lies_at_its_place_is_not_moved() -> None:
    assert order_moves([move(5, 5, 3)], Scratch()) == ()


def test_an_overlap_with_itself_is_left_to_memmove() -> None:
    alone = move(5, 6, 4)
    assert order_moves([alone], Scratch()) == (alone,)


def test_two_that_change_places_need_the_smaller_one_set_aside() -> None:
    scratch = Scratch()
    large, small = move(0, 8, 8), move(8, 2, 3)
    ordered = order_moves([large, small], scratch)
    assert [step.name for step in ordered] == ["8 (aside)", "0", "8"]
    assert scratch.given == [GpaRange(Gpa(SIZE), 3)]
    assert done_in_order([large, small], Scratch()) == done_at_once([large, small])


def test_what_only_waits_for_a_circle_is_not_what_is_set_aside() -> None:
    circle = [move(0, 10, 9), move(10, 0, 8)]
    waiting = move(30, 8, 1)  # the smallest, but nobody overwrites its source
    scratch = Scratch()
    ordered = order_moves([waiting, *circle], scratch)
    assert [step.name for step in ordered] == ["10 (aside)", "0", "30", "10"]
    assert [room.size for room in scratch.given] == [8]


def test_without_room_for_scratch_a_circle_is_refused() -> None:
    def none(size: int) -> GpaRange:
        raise PlacementError(f"no room for {size}")

    with pytest.raises(PlacementError, match="no room for 3"):
        order_moves([move(0, 8, 3), move(8, 0, 3)], none)


def test_two_moves_to_one_place_are_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        order_moves([move(0, 10, 2), move(5, 11, 2)], Scratch())
