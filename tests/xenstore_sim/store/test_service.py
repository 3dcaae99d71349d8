"""Who is served when: requests that wait until others have read."""

from tests.xenstore_sim.conversations import NO_TX, Stage, event, hears, readable, says
from tests.xenstore_sim.store.test_memory import TOKEN, owner
from tests.xenstore_sim.store.test_quota_control import named
from xenstore_sim.store.commands import Send
from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.messages import Control, Ok, Read, Watch, Write
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.payloads import encode_request


def test_a_request_is_finished_when_the_events_it_caused_are_read_by_all() -> None:
    stage = Stage(Settings(quotas=Quotas(outstanding=2)))
    dom3, watcher = owner(stage), stage.connect()
    stage.converse(says(watcher, NO_TX, Watch("/p", TOKEN), Ok(), event("/p", TOKEN)))
    writes = [Write(f"/p/{name}", b"") for name in "abc"]
    stage.daemon.feed(
        dom3.conn, b"".join(encode_packet(Op.WRITE, 1, 0, encode_request(each)) for each in writes)
    )
    assert len(stage.take(dom3)) == 2 * 19, "the third one waits for the watcher"
    assert not stage.daemon.wants_input(dom3.conn)
    assert len(readable(stage.take(watcher))) == 3
    assert len(stage.take(dom3)) == 19


def test_a_watcher_that_leaves_holds_nobody_up() -> None:
    stage = Stage(Settings(quotas=Quotas(outstanding=1)))
    dom3, watcher = owner(stage), stage.connect()
    stage.converse(
        says(watcher, NO_TX, Watch("/p", TOKEN), Ok(), event("/p", TOKEN)),
    )
    stage.send(dom3, NO_TX, Write("/p", b""))
    assert stage.send(dom3, NO_TX, Read("/p")) == b""
    stage.commands += stage.daemon.disconnect(watcher.conn)
    assert len(stage.take(dom3)) == 16


def test_own_events_and_those_of_dom0_do_not_count() -> None:
    stage = Stage(Settings(quotas=Quotas(outstanding=1)))
    dom3, watcher = owner(stage), stage.connect()
    stage.converse(
        says(watcher, NO_TX, Watch("/p", TOKEN), Ok(), event("/p", TOKEN)),
        says(dom3, NO_TX, Watch("/q", TOKEN), Ok(), event("/q", TOKEN)),
        says(stage.dom0, NO_TX, Write("/p", b"")),
        hears(watcher, event("/p", TOKEN)),
    )
    assert named(stage, "quota", "3")["outstanding"].split()[0] == "0"


def test_who_may_go_on_is_read_from_again_even_with_nothing_to_send() -> None:
    stage = Stage(Settings(quotas=Quotas(outstanding=1)))
    dom3, watcher = owner(stage), stage.connect()
    stage.converse(says(watcher, NO_TX, Watch("/p", TOKEN), Ok(), event("/p", TOKEN)))
    stage.send(dom3, NO_TX, Write("/p", b""))
    assert not stage.daemon.wants_input(dom3.conn)
    commands = stage.daemon.sent(watcher.conn, len(stage.daemon.output(watcher.conn)))
    assert commands == (Send(dom3.conn),)
    assert stage.daemon.wants_input(dom3.conn)


def test_a_greater_quota_lets_go_on_at_once() -> None:
    stage = Stage(Settings(quotas=Quotas(outstanding=1)))
    dom3, watcher = owner(stage), stage.connect()
    stage.converse(says(watcher, NO_TX, Watch("/p", TOKEN), Ok(), event("/p", TOKEN)))
    stage.send(dom3, NO_TX, Write("/p", b""))
    stage.send(stage.dom0, NO_TX, Control(("quota", "set", "outstanding", "2")))
    assert stage.daemon.wants_input(dom3.conn)
