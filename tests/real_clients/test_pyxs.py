"""pyxs, a Python client that speaks the protocol itself: stricter than libxenstore in places."""

import errno
import signal
from collections.abc import Iterator
from types import FrameType

import pytest
import pyxs

from tests.real_clients.conftest import Introduce
from tests.real_clients.daemons import RunningDaemon
from tests.real_clients.libxenstore import Handle

DEADLINE_S = 60


class Toolstack(pyxs.Client):
    """A client that does not look into /proc/xen whether it runs in dom0."""

    SU = True


@pytest.fixture(autouse=True)
def _deadline() -> Iterator[None]:
    """Ends waits: a caller of pyxs waits for ever when its router thread is gone."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no end after {DEADLINE_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(DEADLINE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def client(daemon: RunningDaemon) -> Iterator[Toolstack]:
    with Toolstack(unix_socket_path=str(daemon.rundir / "socket")) as client:
        yield client


def refusal(error: pytest.ExceptionInfo[pyxs.PyXSError]) -> str:
    return errno.errorcode[error.value.args[0]]


def test_read_write_and_list(client: Toolstack) -> None:
    client.write(b"/a/b", b"one")
    client[b"/a/c"] = b"two"
    assert client[b"/a/b"] == b"one"
    assert client.list(b"/a") == [b"b", b"c"]
    assert client.list(b"/a/b") == []
    assert client.exists(b"/a/c")
    assert not client.exists(b"/a/x")
    assert client.read(b"/a/x", b"default") == b"default"
    client.mkdir(b"/a/d")
    assert client.read(b"/a/d") == b""
    del client[b"/a"]
    assert client.list(b"/") == [b"tool"]


def test_walk_sees_the_whole_store(client: Toolstack) -> None:
    client.write(b"/a/b/c", b"v")
    assert list(client.walk(b"/")) == [
        (b"/", b"", [b"tool", b"a"]),
        (b"/tool", b"", [b"xenstored"]),
        (b"/tool/xenstored", b"", []),
        (b"/a", b"", [b"b"]),
        (b"/a/b", b"", [b"c"]),
        (b"/a/b/c", b"v", []),
    ]


def test_refusals_come_with_their_errno(client: Toolstack) -> None:
    with pytest.raises(pyxs.PyXSError) as caught:
        client.read(b"/missing")
    assert refusal(caught) == "ENOENT"
    with pytest.raises(pyxs.PyXSError) as caught:
        client.delete(b"/")
    assert refusal(caught) == "EINVAL"
    client.write(b"/a", b"the connection lives")


def test_permissions(client: Toolstack) -> None:
    client.mkdir(b"/a")
    client.set_perms(b"/a", [b"b0", b"r0", b"w0"])
    assert client.get_perms(b"/a") == [b"b0", b"r0", b"w0"]


def test_transactions_commit_roll_back_and_conflict(
    client: Toolstack, daemon: RunningDaemon
) -> None:
    client.transaction()
    client.write(b"/a", b"1")
    assert client.commit()
    assert client.read(b"/a") == b"1"
    client.transaction()
    client.write(b"/a", b"2")
    client.rollback()
    assert client.read(b"/a") == b"1"
    client.transaction()
    client.write(b"/a", b"3")
    with pyxs.Client(unix_socket_path=str(daemon.rundir / "socket")) as other:
        assert other.read(b"/a") == b"1"
        other.write(b"/a", b"other")
    assert not client.commit()
    assert client.read(b"/a") == b"other"


def test_a_monitor_hears_changes_amid_replies(client: Toolstack) -> None:
    with client.monitor() as monitor:
        monitor.watch(b"/a", b"token")
        events = monitor.wait()
        assert next(events) == (b"/a", b"token")
        for number in range(50):
            path = b"/a/%d" % number
            client.write(path, b"v")
            assert client.read(path) == b"v"
        assert [next(events).path for _ in range(50)] == [b"/a/%d" % at for at in range(50)]
        client.delete(b"/a")
        assert next(events) == (b"/a", b"token")


def test_domains_come_and_go(client: Toolstack, daemon: RunningDaemon) -> None:
    with client.monitor() as monitor:
        monitor.watch(b"@introduceDomain", b"in")
        monitor.watch(b"@releaseDomain", b"out")
        events = monitor.wait()
        assert {next(events), next(events)} == {
            (b"@introduceDomain", b"in"),
            (b"@releaseDomain", b"out"),
        }
        client.introduce_domain(3, 1, daemon.prepare_domain(3))
        assert next(events) == (b"@introduceDomain", b"in")
        assert client.is_domain_introduced(3)
        client.introduce_domain(4, 1, daemon.prepare_domain(4))
        assert next(events) == (b"@introduceDomain", b"in")
        client.set_target(3, 4)
        client.resume_domain(3)
        client.release_domain(3)
        assert next(events) == (b"@releaseDomain", b"out")
        client.release_domain(4)
        assert next(events) == (b"@releaseDomain", b"out")
        assert not client.is_domain_introduced(4)
    assert client.get_domain_path(7) == b"/local/domain/7"
    with pytest.raises(pyxs.PyXSError) as caught:
        client.release_domain(3)
    assert refusal(caught) == "ENOENT"


def test_a_client_can_be_a_domain(
    daemon: RunningDaemon, dom0: Handle, introduce: Introduce
) -> None:
    home = introduce(3)
    with pyxs.Client(str(daemon.domain_socket(3))) as dom3:
        dom3.write(b"x", b"v")
        assert dom0.read(f"{home}/x") == b"v"
        with pytest.raises(pyxs.PyXSError) as caught:
            dom3.read(b"/tool")
        assert refusal(caught) == "EACCES"
