"""Whatever a stream says, a daemon begins with it or refuses it by the one error."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xenstore_sim.migration.strategies import records
from xenstore_sim.migration.errors import StateError
from xenstore_sim.migration.handing_on import restore, save_store
from xenstore_sim.migration.records import (
    ConnectionData,
    DomainData,
    GlobalQuotaData,
    NodeData,
    PermEntry,
    Record,
    RingEnd,
)
from xenstore_sim.store.daemon import Daemon, Settings
from xenstore_sim.wire.compat import COMPAT_4_22, RELEASES
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.perms import Access

OWNER = (PermEntry(Access.NONE, DomId(0)),)
PATHS = st.sampled_from(["/", "/a", "/a/b", "/a/b/c", "/tool", "@releaseDomain", "@x", "a", ""])


@st.composite
def streams(draw: st.DrawFn) -> tuple[Record, ...]:
    """Records of any kind whose paths often are some, so that they meet."""
    drawn = draw(records(2))
    return tuple(
        replace(each, path=draw(PATHS), conn_id=draw(st.sampled_from([0, 0, 0, each.conn_id])))
        if isinstance(each, NodeData) and each.perms
        else each
        for each in drawn
    )


@pytest.mark.parametrize("release", list(RELEASES))
@given(stream=streams())
def test_any_stream_is_taken_or_refused(release: str, stream: tuple[Record, ...]) -> None:
    daemon = Daemon(Settings(RELEASES[release]))
    try:
        restore(daemon, stream)
    except StateError:
        return
    daemon.resume()
    saved = save_store(daemon)
    again = Daemon(Settings(RELEASES[release]))
    restore(again, saved)
    assert save_store(again) == saved


def restored(*stream: Record, settings: Settings | None = None) -> Daemon:
    daemon = Daemon(settings)
    restore(daemon, stream)
    return daemon


def ring(conn_id: int, domid: int, target: DomId | None = None) -> ConnectionData:
    return ConnectionData(conn_id, RingEnd(DomId(domid), target, 1))


def test_without_a_root_in_it_the_stream_is_put_below_ours() -> None:
    daemon = restored(NodeData("/a", b"v", OWNER))
    assert [path for path, _ in daemon.nodes()] == ["/", "/a"]


@pytest.mark.parametrize(
    ("stream", "where", "reason"),
    [
        (
            (ring(1, 3), ring(1, 4)),
            "record 2 (ConnectionData)",
            "a second connection 1",
        ),
        (
            (ring(1, 3), ring(2, 3)),
            "record 2 (ConnectionData)",
            "a second ring of domain 3",
        ),
        ((DomainData(DomId(40000), 0),), "record 1 (DomainData)", "there is no domain 40000"),
        (
            (ring(1, 3, DomId(50000)),),
            "record 1 (ConnectionData)",
            "there is no domain 50000",
        ),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(
    stream: tuple[Record, ...], where: str, reason: str
) -> None:
    with pytest.raises(StateError) as refused:
        restored(*stream)
    assert (refused.value.where, refused.value.reason) == (where, reason)


def test_what_is_saved_does_not_depend_on_who_came_first() -> None:
    """A domain without a connection is known by its own record alone, which comes last."""
    saved = restored(DomainData(DomId(2), 0), ring(1, 1), settings=Settings(COMPAT_4_22))
    again = restored(*save_store(saved), settings=Settings(COMPAT_4_22))
    assert save_store(again) == save_store(saved)


def test_quotas_of_the_stream_hold_and_unknown_names_mean_nothing() -> None:
    daemon = restored(
        GlobalQuotaData((("nodes", 7), ("cows", 8))),
        DomainData(DomId(3), 0xF1, (("nodes", 9),)),
        settings=Settings(COMPAT_4_22),
    )
    saved = [each for each in save_store(daemon) if isinstance(each, DomainData)]
    assert dict(saved[0].quotas)["nodes"] == 9
    assert dict(saved[0].quotas)["watches"] == 128
    assert saved[0].features == 0, "what the daemon cannot do is offered to nobody"
