"""Random conversations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from hypothesis import strategies as st

from tests.differential.steps import (
    DOMIDS,
    SOCKETS,
    Create,
    Destroy,
    Introduce,
    Oversize,
    Reconnect,
    Request,
    Say,
    ShutDown,
    Step,
    ring_of,
)
from tests.differential.vocabulary import MANY_CHILDREN
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.wire.ops import Op


@dataclass(frozen=True, slots=True)
class Bounds:
    """Quotas, as both daemons are told of them."""

    options: tuple[str, ...]
    quotas: Quotas


BOUNDS = (
    Bounds((), Quotas()),
    Bounds(
        ("-E", "4", "-S", "100", "-W", "2", "-t", "1", "-A", "2", "-M", "20"),
        Quotas(nodes=4, node_size=100, watches=2, transactions=1, node_permissions=2, path_max=20),
    ),
    Bounds(("-Q", "transaction-nodes=3"), Quotas(transaction_nodes=3)),
)
EVERYONE = SOCKETS + tuple(map(ring_of, DOMIDS))
_TX = st.sampled_from((0, 0, 0, 1, 1, 1, 2, 2, 3, 4_000_000_000))
_WHO = st.sampled_from((*EVERYONE, *EVERYONE[:4]))
_DOMID = st.sampled_from(DOMIDS)


@st.composite
def _request(draw: st.DrawFn, groups: tuple[st.SearchStrategy[Request], ...]) -> Request:
    request = draw(groups[draw(st.integers(0, len(groups) - 1))])
    tx = draw(_TX)
    return replace(request, tx=tx) if tx else request


_LIFE: st.SearchStrategy[Step] = st.one_of(
    st.builds(Introduce, st.sampled_from(SOCKETS), _DOMID),
    st.builds(Create, _DOMID),
    st.builds(Destroy, _DOMID),
    st.builds(ShutDown, _DOMID),
    st.builds(Reconnect, st.sampled_from(SOCKETS)),
    st.builds(Oversize, _WHO),
    st.builds(Say, st.sampled_from(SOCKETS), st.just(MANY_CHILDREN)),
)


def conversations(groups: Iterable[Sequence[Request]]) -> st.SearchStrategy[tuple[Step, ...]]:
    """Conversations of these requests, and of what else happens to domains and connections."""
    # Made once: a strategy of many requests is costly to make.
    request = _request(tuple(map(st.sampled_from, groups)))
    one = st.builds(Say, _WHO, st.tuples(request))
    several = st.builds(Say, _WHO, st.lists(request, min_size=2, max_size=6).map(tuple))
    step: st.SearchStrategy[Step] = st.integers(0, 19).flatmap(
        lambda kind: one if kind < 15 else several if kind < 18 else _LIFE
    )
    # Several lists and not a long one: Hypothesis makes lists of about five.
    stretches = (st.lists(step, max_size=20) for _ in range(4))
    return st.tuples(*stretches).map(lambda each: tuple(chain.from_iterable(each)))


def _prologue() -> tuple[Step, ...]:
    first = SOCKETS[0]
    home = {domid: f"/local/domain/{domid}".encode() for domid in DOMIDS}
    made = [Create(domid) for domid in DOMIDS]
    homes = [
        Say(
            first,
            (
                Request(Op.MKDIR, home[domid] + b"\0"),
                Request(Op.SET_PERMS, home[domid] + b"\0n%d\0" % domid),
            ),
        )
        for domid in DOMIDS[:2]
    ]
    introduced = [Introduce(first, domid) for domid in DOMIDS[:2]]
    return (*made, *homes, *introduced)


PROLOGUE = _prologue()
"""How each conversation begins: three domains exist, two of them with a home and introduced."""
