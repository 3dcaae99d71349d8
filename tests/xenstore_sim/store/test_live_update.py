"""CONTROL live-update: who may ask for what, and when the other program is started."""

from dataclasses import dataclass, field

import pytest

from tests.xenstore_sim.conversations import NO_TX, REQ_ID, Peer, Stage
from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.live_update import NOT_AVAILABLE
from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.compat import COMPAT_4_22
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.messages import Control
from xenstore_sim.wire.ops import Op

OUTSIDE = b"Not in live-update session.\0"


@dataclass
class Unwilling:
    """Notes what it is asked for, and starts nothing."""

    started: list[tuple[str | None, str | None, int | None, ConnId | None, bytes]] = field(
        default_factory=list
    )

    def objection(self, program: str) -> str | None:
        return None if program == "/good" else f"{program} is not good."

    def take_over(
        self,
        program: str | None,
        arguments: str | None,
        version: int | None,
        asker: ConnId | None,
        reply: bytes,
    ) -> str:
        self.started.append((program, arguments, version, asker, reply))
        return "It does not start."


class Scene:
    def __init__(self, settings: Settings | None = None) -> None:
        self.stage = Stage(settings or Settings())
        self.successor = Unwilling()
        self.stage.daemon.succeeded_by(self.successor)

    def asks(self, *options: str, who: Peer | None = None) -> bytes:
        request = Control(("live-update", *options))
        return self.stage.ask(who or self.stage.dom0, NO_TX, request)


def test_a_program_is_named_given_arguments_and_started() -> None:
    scene = Scene()
    assert scene.asks("-f", "/bad") == b"/bad is not good.\0"
    assert scene.asks("-f", "/good") == b"OK\0"
    assert scene.asks("-c", "--compat 4.22") == b"OK\0"
    assert scene.asks("-s", "-t", "5", "-F") == b"It does not start.\0"
    reply = encode_packet(Op.CONTROL, REQ_ID, NO_TX, b"OK\0")
    assert scene.successor.started == [
        ("/good", "--compat 4.22", None, scene.stage.dom0.conn, reply)
    ]
    assert scene.asks("-s") == OUTSIDE, "a failure ends the session"


def test_one_session_at_a_time_and_only_its_own_connection_goes_on_with_it() -> None:
    scene = Scene()
    other = scene.stage.connect()
    assert scene.asks("-f", "/good") == b"OK\0"
    assert scene.asks("-f", "/good", who=other) == b"live-update session already active.\0"
    assert scene.asks("-c", "x", who=other) == OUTSIDE
    assert scene.asks("-s", who=other) == OUTSIDE
    assert scene.asks("-a", who=other) == b"OK\0", "anyone may end it"
    assert scene.asks("-a") == b"No live-update session active.\0"
    assert scene.asks("-s") == OUTSIDE
    assert not scene.successor.started


def test_a_session_ends_with_its_connection() -> None:
    scene = Scene()
    other = scene.stage.connect()
    scene.asks("-f", "/good", who=other)
    scene.stage.daemon.disconnect(other.conn)
    assert scene.asks("-f", "/good") == b"OK\0"


@pytest.mark.parametrize(
    "options",
    [
        (), ("-z",), ("-f",), ("-a", "x"), ("-c",), ("-s", "-t"), ("-s", "-z"),
        ("-s", "-v"), ("-s", "-v", "3"), ("-s", "-v", "x"),
    ],
)  # fmt: skip
def test_what_is_no_sub_command_is_refused(options: tuple[str, ...]) -> None:
    scene = Scene(Settings(COMPAT_4_22))
    scene.asks("-f", "/good")
    assert scene.asks(*options) == b"EINVAL\0"
    assert not scene.successor.started


def test_4_22_lets_the_version_of_the_stream_be_chosen() -> None:
    scene = Scene(Settings(COMPAT_4_22))
    scene.asks("-f", "/good")
    scene.asks("-s", "-v", "1")
    assert scene.successor.started[0][2] == 1
    older = Scene()
    older.asks("-f", "/good")
    assert older.asks("-s", "-v", "1") == b"EINVAL\0"


def test_a_daemon_that_nothing_can_succeed_says_so() -> None:
    stage = Stage()
    answer = stage.ask(stage.dom0, NO_TX, Control(("live-update", "-f", "/good")))
    assert answer == f"{NOT_AVAILABLE}\0".encode()
