"""Buffers of unread events."""

import pytest

from xenstore_sim.client.events import Event, EventBuffer
from xenstore_sim.wire.errors import EventsLost
from xenstore_sim.wire.names import Token

T = Token(b"t")


def test_events_come_in_order_and_equal_ones_once() -> None:
    buffer = EventBuffer("/a", T, 9)
    for path in ("/a", "/a/b", "/a", "/a/b"):
        buffer.put(Event(path, T))
    assert [buffer.get().path, buffer.get().path] == ["/a", "/a/b"]
    assert not buffer.ready
    buffer.put(Event("/a", T))
    assert buffer.ready


def test_a_full_buffer_says_once_what_it_lost() -> None:
    buffer = EventBuffer("/a", T, 2)
    for path in ("/a/1", "/a/2", "/a/3", "/a/4"):
        buffer.put(Event(path, T))
    assert [buffer.get().path, buffer.get().path] == ["/a/1", "/a/2"]
    assert buffer.ready
    with pytest.raises(EventsLost, match="watch on /a had 2 unread events"):
        buffer.get()
    assert not buffer.ready


@pytest.mark.parametrize(
    ("watched", "path", "covered"),
    [
        ("/a", "/a", True),
        ("/a", "/a/b", True),
        ("/a", "/ab", False),
        ("/a/b", "/a", False),
        ("/", "/x/y", True),
        ("rel", "rel/x", True),
        ("@releaseDomain", "@releaseDomain", True),
        ("@releaseDomain", "@releaseDomain/5", True),
    ],
)
def test_a_watch_covers_its_path_and_what_is_below(watched: str, path: str, covered: bool) -> None:
    assert EventBuffer(watched, T, 1).covers(path) == covered
