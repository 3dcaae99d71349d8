"""Hypothesis strategies for the wire's messages."""

from hypothesis import strategies as st

from xenstore_sim.store.quotas import QUOTA_NAMES
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.names import DomId, Token
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.perms import Access, NodePerms, Perm

TEXTS = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=20)
NAMES = st.text("abcXYZ019-_@", min_size=1, max_size=5)
TOKENS = TEXTS.map(lambda text: Token(text.encode("latin-1")))
DOMIDS = st.integers(0, 65535).map(DomId)
U32 = st.integers(0, 2**32 - 1)
I31 = st.integers(0, 2**31 - 1)
PERM = st.builds(Perm, U32.map(DomId), st.sampled_from(tuple(Access)))
PERMS = st.lists(PERM, min_size=1, max_size=6).map(tuple).map(NodePerms)
QUOTAS = st.sampled_from(QUOTA_NAMES)

REQUESTS: st.SearchStrategy[m.Request] = st.one_of(
    *(st.builds(make, TEXTS) for make in (m.Directory, m.Read, m.GetPerms, m.Mkdir, m.Rm)),
    *(
        st.builds(make, DOMIDS)
        for make in (m.Release, m.GetDomainPath, m.IsDomainIntroduced, m.Resume)
    ),
    st.builds(m.DirectoryPart, TEXTS, I31),
    st.builds(m.Write, TEXTS, st.binary(max_size=50)),
    st.builds(m.SetPerms, TEXTS, st.lists(TEXTS, min_size=1, max_size=4).map(tuple)),
    st.builds(m.Watch, TEXTS, TOKENS, st.none() | I31),
    st.builds(m.Unwatch, TEXTS, TOKENS),
    st.just(m.TransactionStart()),
    st.builds(m.TransactionEnd, st.booleans()),
    st.just(m.ResetWatches()),
    st.builds(m.Introduce, DOMIDS, I31, I31),
    st.builds(m.SetTarget, DOMIDS, DOMIDS),
    st.builds(m.Control, st.lists(TEXTS, min_size=1, max_size=4).map(tuple)),
    st.builds(m.GetFeature, st.none() | DOMIDS),
    st.builds(m.SetFeature, DOMIDS, I31),
    st.just(m.GetQuota()),
    st.builds(m.GetQuota, st.none() | DOMIDS, QUOTAS),
    st.builds(m.SetQuota, st.none() | DOMIDS, QUOTAS, U32),
)

CHILDREN = st.lists(NAMES, max_size=5).map(lambda names: "".join(f"{n}\0" for n in names).encode())
TEXT_OPS = (Op.TRANSACTION_START, Op.GET_DOMAIN_PATH, Op.IS_DOMAIN_INTRODUCED, Op.CONTROL)
OK_OPS = (Op.WRITE, Op.MKDIR, Op.RM, Op.SET_PERMS, Op.WATCH, Op.TRANSACTION_END, Op.INTRODUCE)

REPLIES: st.SearchStrategy[tuple[Op, m.Reply]] = st.one_of(
    st.tuples(st.sampled_from(OK_OPS), st.just(m.Ok())),
    st.tuples(st.just(Op.READ), st.builds(m.Value, st.binary(max_size=60))),
    st.tuples(st.just(Op.DIRECTORY), st.builds(m.Listing, CHILDREN)),
    st.tuples(
        st.just(Op.DIRECTORY_PART),
        st.builds(m.ListingPart, U32.map(str), CHILDREN, st.just(True))
        | st.builds(m.ListingPart, U32.map(str), CHILDREN.filter(bool), st.just(False)),
    ),
    st.tuples(st.just(Op.GET_PERMS), st.builds(m.PermsReply, PERMS)),
    st.tuples(st.sampled_from(TEXT_OPS), st.builds(m.Text, TEXTS)),
)
