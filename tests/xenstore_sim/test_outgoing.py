"""In which order clients get what a round made for them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from xenstore_sim.endpoint import GONE, Stream
from xenstore_sim.outgoing import Outgoing
from xenstore_sim.store.watches import ConnId

FIRST, SECOND = ConnId(1), ConnId(2)


@dataclass
class FakeStream:
    """Notes what it sends; its client takes all, or what `takes` says."""

    name: str
    log: list[tuple[str, bytes | int]]
    output: list[bytes] = field(default_factory=list)
    takes: int | OSError | None = None
    then: Callable[[], None] = lambda: None
    """Comes of the first output that is taken."""

    def ready(self, mask: int) -> None: ...

    def offer(self) -> tuple[Stream, bytes] | None:
        return (self, self.output.pop(0)) if self.output else None

    def send(self, output: bytes) -> int:
        self.log.append((self.name, output))
        if isinstance(self.takes, OSError):
            raise self.takes
        return len(output) if self.takes is None else self.takes

    def replied(self, reply: bytes, size: int) -> None:
        self.log.append((f"{self.name} replied", size))

    def account(self, size: int) -> bool:
        self.log.append((f"{self.name} took", size))
        return False

    def go_on(self, size: int) -> None:
        self.log.append((f"{self.name} goes on", size))
        then, self.then = self.then, lambda: None
        then()

    def close(self) -> None: ...


@dataclass
class Scene:
    log: list[tuple[str, bytes | int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first, self.second = FakeStream("first", self.log), FakeStream("second", self.log)
        self.outgoing = Outgoing({FIRST: self.first, SECOND: self.second})


def test_whoever_hears_a_reply_finds_others_told() -> None:
    scene = Scene()
    scene.outgoing.reply(FIRST, scene.first, b"reply")
    scene.second.output = [b"event"]
    scene.outgoing.wake(SECOND)
    scene.outgoing.flush()
    assert [each for each in scene.log if isinstance(each[1], bytes)] == [
        ("second", b"event"),
        ("first", b"reply"),
    ]


def test_a_reply_is_ahead_of_what_its_own_client_is_told() -> None:
    scene = Scene()
    scene.first.output = [b"event"]
    scene.outgoing.wake(FIRST)
    scene.outgoing.reply(FIRST, scene.first, b"reply")
    scene.outgoing.flush()
    assert scene.log[:3] == [("first", b"reply"), ("first", b"event"), ("first took", 5)]


def test_nothing_is_done_between_two_sends() -> None:
    scene = Scene()
    for conn_id, stream in ((FIRST, scene.first), (SECOND, scene.second)):
        stream.output = [b"event"]
        scene.outgoing.wake(conn_id)
    scene.outgoing.flush()
    assert [who for who, _ in scene.log][:2] == ["first", "second"]


def test_nothing_comes_of_being_taken_before_all_know_what_is_taken() -> None:
    """It may drop what waits, of which a part is sent."""
    scene = Scene()
    for conn_id, stream in ((FIRST, scene.first), (SECOND, scene.second)):
        stream.output = [b"event"]
        scene.outgoing.wake(conn_id)
    scene.outgoing.flush()
    assert [who for who, _ in scene.log][2:] == [
        *("first took", "second took", "first goes on", "second goes on"),
    ]


def test_what_comes_of_being_taken_is_sent_too() -> None:
    scene = Scene()
    scene.first.output, scene.second.output = [b"one"], [b"two"]
    scene.first.then = lambda: scene.outgoing.wake(SECOND)
    scene.outgoing.wake(FIRST)
    scene.outgoing.flush()
    assert [each for each in scene.log if isinstance(each[1], bytes)] == [
        ("first", b"one"),
        ("second", b"two"),
    ]


def test_who_takes_less_or_is_gone_says_so() -> None:
    scene = Scene()
    for stream, taken in ((scene.first, 3), (scene.second, BrokenPipeError())):
        stream.takes = taken
    scene.outgoing.reply(FIRST, scene.first, b"reply")
    scene.outgoing.reply(SECOND, scene.second, b"reply")
    scene.outgoing.flush()
    assert scene.log[2:] == [("first replied", 3), ("second replied", GONE)]

    scene.log.clear()
    scene.first.takes, scene.first.output = BlockingIOError(), [b"event"]
    scene.outgoing.wake(FIRST)
    scene.outgoing.flush()
    assert scene.log[:2] == [("first", b"event"), ("first took", 0)]
