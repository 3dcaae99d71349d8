"""Permission lists and their text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenstore_sim.wire.errors import InvalidPerms
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.perms import Access, NodePerms, Perm

ENTRIES = st.builds(Perm, st.integers(0, 2**32 - 1).map(DomId), st.sampled_from(tuple(Access)))


@given(st.lists(ENTRIES, min_size=1, max_size=6).map(tuple).map(NodePerms))
def test_a_list_is_what_its_text_says(perms: NodePerms) -> None:
    assert NodePerms.parse(str(perms)) == perms


def test_the_first_entry_is_the_owner_and_what_others_may() -> None:
    perms = NodePerms.of("r3", "w5", "b6")
    assert (perms.owner, perms.others) == (3, Access.READ)
    assert perms.exceptions == (Perm(DomId(5), Access.WRITE), Perm(DomId(6), Access.BOTH))


def test_another_owner_leaves_the_letters_and_the_exceptions() -> None:
    assert str(NodePerms.of("r3", "w5").owned_by(DomId(9))) == "r9,w5"
    perms = NodePerms.of("r3", "w5")
    assert perms.owned_by(DomId(3)) is perms


def test_taking_a_domain_out_leaves_the_owner() -> None:
    assert str(NodePerms.of("r3", "w5", "r3", "n5").without(DomId(5))) == "r3,r3"
    assert str(NodePerms.of("r3", "w5", "b3").without(DomId(3))) == "r3,w5"


@pytest.mark.parametrize("text", ["", "n", "x0", "n0,", "n-1", "n 0", "0n", "n0x5", "n4294967296"])
def test_other_texts_are_no_list(text: str) -> None:
    with pytest.raises(InvalidPerms, match="is not a permission list"):
        NodePerms.parse(text)


def test_a_list_has_an_entry() -> None:
    with pytest.raises(InvalidPerms):
        NodePerms(())
