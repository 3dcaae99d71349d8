"""A shortcut and the long way give the same: bytes, store, counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xenstore_sim.conversations import NO_TX, Peer, Raw, Stage, readable, started
from xenstore_sim.store import dispatch
from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.compat import RELEASES
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.strings import terminated

TIGHT = Quotas(
    nodes=4,
    node_size=60,
    transactions=2,
    transaction_nodes=3,
    path_max=9,
    memory=900,
    soft_memory=300,
)
NODES = (
    *("/", "/a", "/a/b", "/d", "/d/a", "/d/longer-name", "/missing/x", "", "a"),
    *("@introduceDomain", "/local/domain/5/a", "/a/", "//a", "/a/b/c/d/e/f/g", "/a\xe9"),
)
PATHS = st.sampled_from(NODES)
HOME = "/local/domain/5/a"
SHORT = (Op.READ, Op.DIRECTORY, Op.GET_PERMS)
LONG = (Op.MKDIR, Op.RM)
VALUES = st.sampled_from((b"", b"v", b"\0", b"longer" * 9))
TAILS = (b"", b"\0", b"\0\0", b"\0x", b"x")
ENDS = st.sampled_from(TAILS)
PERMS = st.sampled_from((("n5",), ("n0", "r5"), ("b0",), ("w0",), ("n0", "w5"), ("r5", "n0")))

REQUESTS = st.one_of(
    st.builds(Raw, st.sampled_from(SHORT), PATHS.map(terminated)),
    st.builds(Raw, st.sampled_from(LONG), PATHS.map(terminated)),
    st.builds(lambda path, value: Raw(Op.WRITE, terminated(path) + value), PATHS, VALUES),
    st.builds(
        lambda op, path, end: Raw(op, path.encode("latin-1") + end),
        st.sampled_from((*SHORT, Op.WRITE, Op.TRANSACTION_END)),
        PATHS,
        ENDS,
    ),
    st.builds(Raw, st.just(Op.TRANSACTION_START), ENDS),
    st.builds(Raw, st.just(Op.TRANSACTION_END), st.sampled_from((b"T\0", b"F\0", b"T", b"X\0"))),
    st.builds(lambda path, perms: Raw(Op.SET_PERMS, terminated(path, *perms)), PATHS, PERMS),
    st.builds(lambda path: Raw(Op.WATCH, terminated(path, "t")), PATHS),
)


@dataclass(frozen=True)
class Step:
    """One of the clients asks."""

    who: int
    tx: int
    request: Raw


STEPS = st.lists(
    st.builds(Step, st.integers(0, 2), st.sampled_from((0, 0, 1, 1, 2, 9)), REQUESTS), max_size=25
)


EVERY_FORM = [
    Step(who, tx, Raw(op, path.encode("latin-1") + tail))
    for tx in (0, 1, 2)
    for op in (*SHORT, Op.WRITE, Op.RM)
    for path in NODES
    for tail in TAILS
    for who in range(3)
] + [Step(0, tx, Raw(Op.TRANSACTION_END, tail)) for tx in (0, 1) for tail in (*TAILS, b"T", b"T\0")]


@contextmanager
def the_long_way() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        rows = {number: replace(row, short=None) for number, row in dispatch._ROWS.items()}
        patch.setattr(dispatch, "_ROWS", rows)
        yield


def told(stage: Stage) -> object:
    """All that is to be seen of a daemon."""
    daemon = stage.daemon
    accounts = {
        domid: (account.nodes, account.bytes, account.most, account.warnings)
        for domid, account in daemon.world.accounts
    }
    return list(daemon.nodes()), daemon.statistics(), accounts, daemon.world.tree.generation


def played(release: str, quotas: Quotas, steps: list[Step]) -> tuple[list[object], object]:
    """What everyone hears, and what is there in the end."""
    stage = Stage(Settings(compat=RELEASES[release], quotas=quotas))
    peers = (stage.dom0, stage.domain(5), stage.connect())
    for path, perms in (("/a", "r0"), ("/d", "n5"), ("/d/longer-name", "n5"), (HOME, "n5")):
        stage.send(stage.dom0, NO_TX, m.Write(path, b"v"))
        stage.send(stage.dom0, NO_TX, m.SetPerms(path, (perms,)))
    for peer in peers:
        stage.converse(started(peer))
    heard = []
    for step in steps:
        heard.append(readable(stage.send(peers[step.who], step.tx, step.request)))
        heard += [readable(stage.take(peer)) for peer in peers]
    return heard, told(stage)


@pytest.mark.parametrize("release", RELEASES)
@given(st.sampled_from((Quotas(), TIGHT)), STEPS)
@settings(max_examples=60)
def test_the_shortcut_gives_what_the_long_way_gives(
    release: str, quotas: Quotas, steps: list[Step]
) -> None:
    short = played(release, quotas, steps)
    with the_long_way():
        assert played(release, quotas, steps) == short


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("quotas", [Quotas(), TIGHT], ids=["default", "tight"])
def test_the_shortcut_judges_every_form_as_the_long_way_does(release: str, quotas: Quotas) -> None:
    short = played(release, quotas, EVERY_FORM)
    with the_long_way():
        assert played(release, quotas, EVERY_FORM) == short


def read(stage: Stage, who: Peer, path: str) -> bytes:
    return stage.ask(who, NO_TX, m.Read(path))


def test_a_usual_request_takes_the_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    domain = stage.domain(5)
    stage.send(stage.dom0, NO_TX, m.Write("/d", b"v"))
    stage.send(stage.dom0, NO_TX, m.SetPerms("/d", ("n5",)))
    # Where there is no long way, only those that need none are answered.
    monkeypatch.delattr(dispatch, "decode_request")

    for who in (stage.dom0, domain):
        assert read(stage, who, "/d") == b"v"
        assert stage.ask(who, NO_TX, m.Directory("/d")) == b""
        assert stage.ask(who, NO_TX, m.GetPerms("/d")) == b"n5\0"
        assert stage.ask(who, NO_TX, m.Write("/d", b"v")) == b"OK\0"
        assert stage.ask(who, NO_TX, m.TransactionStart()) == b"1\0"
        assert stage.ask(who, 1, m.Read("/d")) == b"v"
        assert stage.ask(who, 1, m.Write("/d", b"v")) == b"OK\0"
        assert stage.ask(who, 1, m.TransactionEnd(commit=True)) == b"OK\0"
    assert stage.ask(domain, NO_TX, m.Rm("/d")) == b"OK\0"
    with pytest.raises(NameError):
        read(stage, stage.dom0, "/missing")
