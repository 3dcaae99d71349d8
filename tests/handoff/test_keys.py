"""The nodes as literal text: libxl's must match libxl, ours the protocol document."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff import keys as nodes
from handoff.errors import DescriptorRefused
from handoff.keys import HandoffKeys, ImageFact, Party, key_table
from xenstore_sim.wire.names import DOM0, AbsolutePath, DomId, absolute_path

S, T = DomId(6), DomId(5)
UUID_T = UUID("01234567-89ab-cdef-0123-456789abcdef")
OFFER = "/local/domain/6/direct-boot"
ANSWER = "/local/domain/6/device-model/5/direct-boot"
LIST = AbsolutePath("/a")

TABLE = [
    ("/vm/01234567-89ab-cdef-0123-456789abcdef/image/dm-argv/001", Party.DOM0, "n0,r6"),
    ("/local/domain/6/target", Party.DOM0, "n0,r6"),
    ("/local/domain/5/hvmloader/bios", Party.DOM0, "n0,r5"),
    (f"{OFFER}/version", Party.DOM0, "n0,r6"),
    (f"{OFFER}/carrier", Party.DOM0, "n0,r6"),
    (f"{OFFER}/frame/001", Party.DOM0, "n0,r6"),
    (f"{OFFER}/frame-gpa", Party.DOM0, "n0,r6"),
    (f"{OFFER}/frame-size", Party.DOM0, "n0,r6"),
    (f"{OFFER}/images/0/role", Party.DOM0, "n0,r6"),
    (f"{OFFER}/images/0/gpa", Party.DOM0, "n0,r6"),
    (f"{OFFER}/images/0/size", Party.DOM0, "n0,r6"),
    (f"{OFFER}/images/0/digest", Party.DOM0, "n0,r6"),
    (f"{OFFER}/state", Party.DOM0, "n0,r6"),
    (f"{ANSWER}/state", Party.STUBDOM, "n6,r5"),
    (f"{ANSWER}/error", Party.STUBDOM, "n6,r5"),
    (f"{ANSWER}/report/001", Party.STUBDOM, "n6,r5"),
    ("/local/domain/5/hvmloader/acpi/address", Party.DOM0, "n0,r5"),
    ("/local/domain/5/hvmloader/acpi/length", Party.DOM0, "n0,r5"),
    ("/local/domain/5/hvmloader/smbios/address", Party.DOM0, "n0,r5"),
    ("/local/domain/5/hvmloader/smbios/length", Party.DOM0, "n0,r5"),
    ("/local/domain/6/device-model/5/state", Party.STUBDOM, "n6,r5"),
]


def test_every_node_has_the_path_writer_and_permissions_of_the_protocol() -> None:
    rows = key_table(HandoffKeys(S, T), UUID_T)
    assert [(row.path, row.writer, str(row.perms)) for row in rows] == TABLE


def test_the_stub_domain_writes_nowhere_but_in_the_directory_it_was_given() -> None:
    keys = HandoffKeys(S, T)
    for row in key_table(keys, UUID_T):
        inside = row.path.startswith(f"{keys.device_model}/")
        assert inside == (row.writer is Party.STUBDOM)
        assert (row.perms.owner == S) == inside


def test_a_device_model_of_dom0_has_a_directory_for_each_target() -> None:
    keys = HandoffKeys(DOM0, T)
    assert keys.offer_state == "/local/domain/0/direct-boot/5/direct-boot/state"
    assert keys.running == "/local/domain/0/direct-boot/5/device-model/5/state"
    assert HandoffKeys(S, T).home == "/local/domain/6"


def test_the_state_that_is_watched_is_dom0s_last_node() -> None:
    told = [row for row in key_table(HandoffKeys(S, T), UUID_T) if row.path.startswith(OFFER)]
    assert told[-1].path == HandoffKeys(S, T).offer_state


@given(st.integers(1, 32751), st.integers(1, 32751), st.uuids())
def test_paths_are_paths_for_all_domids(stubdom: int, target: int, uuid: UUID) -> None:
    if stubdom == target:
        return
    for row in key_table(HandoffKeys(DomId(stubdom), DomId(target)), uuid):
        assert absolute_path(row.path) == row.path


def test_the_four_facts_of_an_image_lie_in_its_numbered_directory() -> None:
    keys = HandoffKeys(S, T)
    assert {keys.image(3, fact) for fact in ImageFact} == {
        f"{OFFER}/images/3/{fact}" for fact in ("role", "gpa", "size", "digest")
    }


def test_lists_are_numbered_as_libxl_numbers_dm_argv() -> None:
    assert [nodes.numbered(LIST, n) for n in (1, 42, 999)] == ["/a/001", "/a/042", "/a/999"]


@given(st.permutations([f"{number:03d}" for number in range(1, 21)]))
def test_a_numbered_list_is_read_in_order_whatever_order_the_store_gives(mixed: list[str]) -> None:
    assert nodes.numbered_nodes(LIST, mixed) == tuple(f"/a/{name}" for name in sorted(mixed))


@pytest.mark.parametrize(
    "names",
    [["002"], ["001", "003"], ["1"], ["001", "x"], ["000", "001"], ["0001"], ["001", "001"]],
)
def test_a_numbered_list_with_a_gap_or_a_stranger_is_refused(names: list[str]) -> None:
    with pytest.raises(DescriptorRefused, match="must be"):
        nodes.numbered_nodes(LIST, names)


def test_a_numbered_list_longer_than_its_names_can_count_is_refused() -> None:
    with pytest.raises(DescriptorRefused, match="at most 999"):
        nodes.numbered_nodes(LIST, [f"{number:04d}" for number in range(1000)])


def test_permissions_name_the_owner_first() -> None:
    assert str(nodes.private()) == "n0"
    assert str(nodes.read_by(T)) == "n0,r5"
    assert str(nodes.read_by(T, owner=S)) == "n6,r5"
    assert str(nodes.owned_by(S)) == "n6"
