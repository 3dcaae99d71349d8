"""CONTROL live-update: who may ask for what, and when the other program is started."""

from dataclasses import dataclass, field

import pytest

from tests.xenstore_sim.conversations import (
    NO_TX,
    REQ_ID,
    Peer,
    Stage,
    event,
    hears,
    readable,
    says,
)
from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.live_update import NOT_AVAILABLE, Asker
from xenstore_sim.wire.compat import COMPAT_4_22
from xenstore_sim.wire.layout import PAYLOAD_MAX, encode_packet
from xenstore_sim.wire.messages import Control, Ok, Watch, Write
from xenstore_sim.wire.names import ReqId, Token, TxId
from xenstore_sim.wire.ops import Op

ACTIVE = b"live-update session already active.\0"
OUTSIDE = b"Not in live-update session.\0"


@dataclass
class Unwilling:
    """Notes what it is asked for, and starts nothing."""

    started: list[tuple[str | None, str | None, int | None, Asker | None]] = field(
        default_factory=list
    )

    def objection(self, program: str) -> str | None:
        return None if program == "/good" else f"{program} is not good."

    def take_over(
        self,
        program: str | None,
        arguments: str | None,
        version: int | None,
        asker: Asker | None,
    ) -> None:
        self.started.append((program, arguments, version, asker))


class Scene:
    def __init__(self, settings: Settings | None = None) -> None:
        self.stage = Stage(settings or Settings())
        self.successor = Unwilling()
        self.stage.daemon.succeeded_by(self.successor)

    def asks(self, *options: str, who: Peer | None = None) -> bytes:
        request = Control(("live-update", *options))
        return self.stage.ask(who or self.stage.dom0, NO_TX, request)

    def starts(self, *options: str, who: Peer | None = None) -> None:
        """There is no answer yet."""
        request = Control(("live-update", "-s", *options))
        assert self.stage.send(who or self.stage.dom0, NO_TX, request) == b""

    def fails(self, reason: str) -> None:
        """The program that was to take over does not."""
        self.stage.commands += self.stage.daemon.not_succeeded(reason)


def test_a_program_is_named_given_arguments_and_started() -> None:
    scene = Scene()
    assert scene.asks("-f", "/bad") == b"/bad is not good.\0"
    assert scene.asks("-f", "/good") == b"OK\0"
    assert scene.asks("-c", "--compat 4.22") == b"OK\0"
    scene.starts("-t", "5", "-F")
    asker = Asker(scene.stage.dom0.conn, ReqId(REQ_ID), TxId(NO_TX))
    assert scene.successor.started == [("/good", "--compat 4.22", None, asker)]
    assert asker.reply("OK") == encode_packet(Op.CONTROL, REQ_ID, NO_TX, b"OK\0")
    scene.fails("It does not start.")
    assert scene.stage.take(scene.stage.dom0) == asker.reply("It does not start.")


def test_of_a_reason_that_is_too_long_the_end_is_told() -> None:
    """It begins with the program's path, which may fill a request."""
    scene = Scene()
    scene.asks("-f", "/good")
    scene.starts()
    scene.fails(f"{'/long' * 1000} does not start.")
    told = f"{'/long' * 1000} does not start.\0"[-PAYLOAD_MAX:].encode()
    assert scene.stage.take(scene.stage.dom0) == encode_packet(Op.CONTROL, REQ_ID, NO_TX, told)
    assert scene.asks("-s") == OUTSIDE, "a failure ends the session"


def test_while_one_is_tried_only_who_asked_has_to_wait() -> None:
    scene = Scene()
    stage, dom0, other = scene.stage, scene.stage.dom0, scene.stage.connect()
    stage.converse(says(dom0, NO_TX, Watch("/a", Token(b"t"), None), Ok(), event("/a")))
    scene.asks("-f", "/good")
    scene.starts()
    assert not stage.daemon.wants_input(dom0.conn)
    assert stage.send(dom0, NO_TX, Write("/a", b"late")) == b""
    stage.converse(says(other, NO_TX, Write("/a", b"")), hears(dom0, event("/a")))
    scene.fails("No.")
    assert stage.daemon.wants_input(dom0.conn)
    said = readable(stage.take(dom0))
    assert said[0].startswith("CONTROL ")
    assert said[1].startswith("WATCH_EVENT ")
    assert said[2].startswith("WRITE ")


def test_there_is_no_second_one_meanwhile() -> None:
    scene = Scene()
    other = scene.stage.connect()
    scene.asks("-f", "/good")
    scene.starts()
    assert scene.asks("-f", "/good", who=other) == ACTIVE
    assert scene.stage.daemon.live_update() == ACTIVE[:-1].decode()
    assert len(scene.successor.started) == 1
    scene.fails("No.")
    assert scene.stage.daemon.live_update() is None
    assert scene.asks("-f", "/good", who=other) == ACTIVE
    scene.fails("No.")
    assert scene.asks("-f", "/good", who=other) == b"OK\0"


def test_an_update_that_is_prepared_does_not_start_beside_another_one() -> None:
    scene = Scene()
    scene.asks("-f", "/good")
    assert scene.stage.daemon.live_update() is None
    assert scene.asks("-s") == ACTIVE
    assert len(scene.successor.started) == 1


def test_who_asked_may_leave() -> None:
    scene = Scene()
    other = scene.stage.connect()
    scene.asks("-f", "/good", who=other)
    scene.starts(who=other)
    scene.stage.daemon.disconnect(other.conn)
    scene.fails("No.")
    assert scene.asks("-f", "/good") == b"OK\0"


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
    scene.starts("-v", "1")
    assert scene.successor.started[0][2] == 1
    older = Scene()
    older.asks("-f", "/good")
    assert older.asks("-s", "-v", "1") == b"EINVAL\0"


def test_a_daemon_that_nothing_can_succeed_says_so() -> None:
    stage = Stage()
    answer = stage.ask(stage.dom0, NO_TX, Control(("live-update", "-f", "/good")))
    assert answer == f"{NOT_AVAILABLE}\0".encode()
