"""Hypothesis: records and images of the migration format."""

from hypothesis import strategies as st

from xenstore_sim.migration.records import (
    DOMID_INVALID,
    ConnectionData,
    DomainData,
    GlobalData,
    GlobalQuotaData,
    NodeAccess,
    NodeData,
    PermEntry,
    Record,
    RingEnd,
    SocketEnd,
    TransactionData,
    WatchData,
)
from xenstore_sim.wire.names import DomId, Token, TxId
from xenstore_sim.wire.perms import Access

_u16 = st.integers(0, 0xFFFF)
_u32 = st.integers(0, 0xFFFF_FFFF)
_i32 = st.integers(-(2**31), 2**31 - 1)
_ids = st.integers(1, 0xFFFF_FFFF)
_domids = _u16.filter(lambda domid: domid != DOMID_INVALID).map(DomId)
_texts = st.text(st.characters(min_codepoint=1, max_codepoint=0xFF), max_size=20)
_bytes = st.binary(max_size=30)
_quotas = st.lists(st.tuples(_texts, _u32), max_size=4).map(tuple)

_ends = st.one_of(
    st.builds(SocketEnd, _i32), st.builds(RingEnd, _domids, st.none() | _domids, _u32)
)


@st.composite
def _connections(draw: st.DrawFn) -> ConnectionData:
    unsent = draw(_bytes)
    return ConnectionData(
        draw(_ids),
        draw(_ends),
        draw(_bytes),
        unsent,
        draw(st.integers(0, len(unsent))),
        draw(st.none() | st.integers(0, 2**64 - 1)),
    )


_perms = st.lists(
    st.builds(PermEntry, st.sampled_from(Access), _domids, st.booleans()), min_size=1, max_size=4
).map(tuple)
_tokens = st.binary(max_size=10).map(lambda data: Token(data.replace(b"\0", b"-")))
_tx_ids = _u32.map(TxId)
_nodes = st.builds(NodeData, _texts, _bytes, _perms) | st.builds(
    NodeData,
    _texts,
    _bytes,
    _perms | st.just(()),
    _ids,
    _tx_ids,
    st.builds(NodeAccess, st.integers(0, 3)),
)


def records(version: int) -> st.SearchStrategy[tuple[Record, ...]]:
    """Records that a stream of this version can hold."""
    newer = version > 1
    each: st.SearchStrategy[Record] = st.one_of(
        st.builds(GlobalData, _i32, _i32),
        _connections(),
        st.builds(
            WatchData,
            _ids,
            _texts,
            _tokens,
            st.none() | st.integers(0, 0xFFFE) if newer else st.none(),
        ),
        st.builds(TransactionData, _ids, _tx_ids),
        _nodes,
        st.builds(GlobalQuotaData, _quotas, _quotas),
        st.builds(DomainData, _domids, _u32 if newer else st.just(0), _quotas),
    )
    return st.lists(each, max_size=6).map(tuple)
