"""Errors say what, where, the bound and what to do, on one line."""

import pytest

from xenstore_sim.wire import errors
from xenstore_sim.wire.ops import Errno, Op

TEXTS = [
    (errors.RequestRefused(Errno.EACCES, Op.READ, "/a"), "xenstore refused READ /a: EACCES"),
    (
        errors.RequestRefused(Errno.ENOENT, Op.TRANSACTION_END, ""),
        "xenstore refused TRANSACTION_END (no path): ENOENT",
    ),
    (errors.TransactionConflict(7), "conflict in each of its 7 attempts"),
    (errors.EventsLost("/a", 9), "watch on /a had 9 unread events"),
    (errors.InvalidPath("a//b", "no double slash"), "'a//b' is not a xenstore path: no double"),
    (errors.InvalidText("a\0b"), "'a\\x00b' cannot be sent to a xenstore"),
    (errors.InvalidPerms("x"), "'x' is not a permission list: write n0"),
]


@pytest.mark.parametrize(("error", "text"), TEXTS)
def test_the_text_is_one_line_made_of_the_fields(error: errors.XenstoreError, text: str) -> None:
    assert text in str(error)
    assert "\n" not in str(error)
