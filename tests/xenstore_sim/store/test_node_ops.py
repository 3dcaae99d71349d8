"""Operations on nodes outside transactions: answers, and which error comes first."""

import pytest

from tests.xenstore_sim.conversations import NO_TX, Peer, Raw, Stage, says
from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.wire.compat import COMPAT_4_17, COMPAT_4_20, COMPAT_4_22, Compat
from xenstore_sim.wire.messages import (
    Directory,
    DirectoryPart,
    GetPerms,
    Listing,
    Mkdir,
    PermsReply,
    Read,
    Request,
    Rm,
    SetPerms,
    Value,
    Write,
)
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.perms import NodePerms


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def dom0(stage: Stage) -> Peer:
    return stage.dom0


@pytest.fixture
def dom3(stage: Stage) -> Peer:
    """A domain with a home of its own, as libxl makes one."""
    peer = stage.domain(3)
    stage.converse(
        says(stage.dom0, NO_TX, Mkdir("/local/domain/3/data")),
        says(stage.dom0, NO_TX, SetPerms("/local/domain/3", ("n0", "r3"))),
        says(stage.dom0, NO_TX, SetPerms("/local/domain/3/data", ("n3",))),
    )
    return peer


def perms(*entries: str) -> PermsReply:
    return PermsReply(NodePerms.of(*entries))


def test_a_fresh_store_has_the_daemons_own_nodes(stage: Stage, dom0: Peer) -> None:
    stage.converse(
        says(dom0, NO_TX, Directory("/"), Listing(b"tool\0")),
        says(dom0, NO_TX, Directory("/tool"), Listing(b"xenstored\0")),
        says(dom0, NO_TX, Read("/tool/xenstored"), Value(b"")),
        says(dom0, NO_TX, Read("/"), Value(b"")),
        says(dom0, NO_TX, GetPerms("/"), perms("n0")),
        says(dom0, NO_TX, GetPerms("@releaseDomain"), perms("n0")),
        says(dom0, NO_TX, GetPerms("@introduceDomain"), perms("n0")),
    )


def test_writing_makes_the_node_and_those_above_it(stage: Stage, dom0: Peer) -> None:
    stage.converse(
        says(dom0, NO_TX, Write("/a/b/c", b"v\0\xff")),
        says(dom0, NO_TX, Read("/a/b/c"), Value(b"v\0\xff")),
        says(dom0, NO_TX, Read("/a/b"), Value(b"")),
        says(dom0, NO_TX, Write("/a/b", b"w")),
        says(dom0, NO_TX, Directory("/a/b"), Listing(b"c\0")),
        says(dom0, NO_TX, Write("/", b"root")),
        says(dom0, NO_TX, Read("/"), Value(b"root")),
    )


def test_making_an_existing_node_changes_nothing(stage: Stage, dom0: Peer) -> None:
    stage.converse(
        says(dom0, NO_TX, Mkdir("/a/b")),
        says(dom0, NO_TX, Read("/a/b"), Value(b"")),
        says(dom0, NO_TX, Write("/a/b", b"v")),
        says(dom0, NO_TX, Mkdir("/a/b")),
        says(dom0, NO_TX, Mkdir("/")),
        says(dom0, NO_TX, Read("/a/b"), Value(b"v")),
    )


def test_removal(stage: Stage, dom0: Peer) -> None:
    stage.converse(
        says(dom0, NO_TX, Write("/a/b/c", b"v")),
        says(dom0, NO_TX, Rm("/a/missing")),
        says(dom0, NO_TX, Rm("/missing/x"), Errno.ENOENT),
        says(dom0, NO_TX, Rm("/"), Errno.EINVAL),
        says(dom0, NO_TX, Rm("/a")),
        says(dom0, NO_TX, Read("/a/b/c"), Errno.ENOENT),
        says(dom0, NO_TX, Directory("/"), Listing(b"tool\0")),
        says(dom0, NO_TX, Rm("/a")),
    )


def test_children_are_listed_in_the_order_of_their_making(stage: Stage, dom0: Peer) -> None:
    stage.converse(
        *(says(dom0, NO_TX, Mkdir(f"/d/{name}")) for name in ("z", "a", "az", "m")),
        says(dom0, NO_TX, Directory("/d"), Listing(b"z\0a\0az\0m\0")),
        says(dom0, NO_TX, Rm("/d/a")),
        says(dom0, NO_TX, Directory("/d"), Listing(b"z\0az\0m\0")),
        says(dom0, NO_TX, Mkdir("/d/a")),
        says(dom0, NO_TX, Rm("/d/z")),
        says(dom0, NO_TX, Directory("/d"), Listing(b"az\0m\0a\0")),
    )


ONE_PATH = (Read, Directory, GetPerms, Mkdir, Rm)


@pytest.mark.parametrize("make", ONE_PATH)
@pytest.mark.parametrize("path", ["", "/a/", "//", "/a.b", "a b", "/\xe9"])
def test_what_is_no_path_is_invalid(stage: Stage, dom0: Peer, make: type[Read], path: str) -> None:
    stage.converse(says(dom0, NO_TX, make(path), Errno.EINVAL))


@pytest.mark.parametrize(
    "request_",
    [Read("@x"), Directory("@x"), Mkdir("@x"), Rm("@x"), Write("@x", b""), DirectoryPart("@x", 0)],
)
def test_special_nodes_have_nothing_but_permissions(
    stage: Stage, dom0: Peer, request_: Request
) -> None:
    stage.converse(says(dom0, NO_TX, request_, Errno.EINVAL))


def test_relative_paths_are_below_home(stage: Stage, dom0: Peer, dom3: Peer) -> None:
    stage.converse(
        says(dom0, NO_TX, Write("x", b"v")),
        says(dom0, NO_TX, Read("/local/domain/0/x"), Value(b"v")),
        says(dom3, NO_TX, Write("data/x", b"w")),
        says(dom0, NO_TX, Read("/local/domain/3/data/x"), Value(b"w")),
    )


# ---------------------------------------------------------------- permissions


def test_a_new_node_has_its_parents_list(stage: Stage, dom0: Peer, dom3: Peer) -> None:
    stage.converse(
        says(dom0, NO_TX, Mkdir("/p")),
        says(dom0, NO_TX, SetPerms("/p", ("r3", "b0", "w7"))),
        says(dom0, NO_TX, Mkdir("/p/by0/deep")),
        says(dom0, NO_TX, GetPerms("/p/by0/deep"), perms("r3", "b0", "w7")),
        says(dom0, NO_TX, SetPerms("/p", ("r0", "b3"))),
        says(dom3, NO_TX, Mkdir("/p/by3/deep")),
        says(dom0, NO_TX, GetPerms("/p/by3"), perms("r3", "b3")),
        says(dom0, NO_TX, GetPerms("/p/by3/deep"), perms("r3", "b3")),
    )


def test_the_first_entry_for_a_domain_decides(stage: Stage, dom0: Peer, dom3: Peer) -> None:
    stage.converse(
        says(dom0, NO_TX, Write("/p", b"v")),
        says(dom0, NO_TX, SetPerms("/p", ("b0", "n3", "b3"))),
        says(dom3, NO_TX, Read("/p"), Errno.EACCES),
        says(dom0, NO_TX, SetPerms("/p", ("n0", "r3"))),
        says(dom3, NO_TX, Read("/p"), Value(b"v")),
        says(dom3, NO_TX, Write("/p", b""), Errno.EACCES),
        says(dom0, NO_TX, SetPerms("/p", ("n0", "w3"))),
        says(dom3, NO_TX, Write("/p", b"w")),
        says(dom3, NO_TX, Read("/p"), Errno.EACCES),
        says(dom0, NO_TX, SetPerms("/p", ("r0", "b7"))),
        says(dom3, NO_TX, Read("/p"), Value(b"w")),
    )


def test_an_unreadable_parent_does_not_hide_a_readable_node(
    stage: Stage, dom0: Peer, dom3: Peer
) -> None:
    stage.converse(
        says(dom0, NO_TX, Write("/hidden/open", b"v")),
        says(dom0, NO_TX, SetPerms("/hidden/open", ("r0",))),
        says(dom3, NO_TX, Read("/hidden/open"), Value(b"v")),
        says(dom3, NO_TX, Read("/hidden"), Errno.EACCES),
    )


def test_who_may_know_that_a_node_is_missing(stage: Stage, dom0: Peer, dom3: Peer) -> None:
    stage.converse(
        says(dom3, NO_TX, Read("/nothing"), Errno.EACCES),
        says(dom3, NO_TX, Read("/local/domain/7/x"), Errno.EACCES),
        says(dom3, NO_TX, Read("nothing"), Errno.ENOENT),
        says(dom3, NO_TX, Directory("nothing/at/all"), Errno.ENOENT),
        says(dom3, NO_TX, GetPerms("nothing"), Errno.ENOENT),
        says(dom3, NO_TX, Mkdir("nothing"), Errno.EACCES),
        says(dom3, NO_TX, Write("nothing/deep", b""), Errno.EACCES),
        says(dom3, NO_TX, Rm("nothing"), Errno.EACCES),
        says(dom3, NO_TX, SetPerms("nothing", ("n3",)), Errno.EACCES),
        says(dom3, NO_TX, SetPerms("data/nothing", ("n3",)), Errno.ENOENT),
        says(dom3, NO_TX, Rm("data/nothing")),
        says(dom3, NO_TX, Rm("data/nothing/deep"), Errno.ENOENT),
        says(dom3, NO_TX, GetPerms("@other"), Errno.EACCES),
        says(dom0, NO_TX, GetPerms("@other"), Errno.ENOENT),
        says(dom0, NO_TX, SetPerms("@other", ("n0",)), Errno.ENOENT),
    )


def test_removal_needs_the_node_alone_and_making_needs_the_parent(
    stage: Stage, dom0: Peer, dom3: Peer
) -> None:
    stage.converse(
        says(dom0, NO_TX, Write("/local/domain/3/data/foreign/deep", b"")),
        says(dom0, NO_TX, SetPerms("/local/domain/3/data/foreign", ("n0",))),
        says(dom3, NO_TX, Rm("data/foreign"), Errno.EACCES),
        says(dom3, NO_TX, Rm("data")),
        says(dom0, NO_TX, Read("/local/domain/3/data/foreign/deep"), Errno.ENOENT),
        says(dom3, NO_TX, Mkdir("data"), Errno.EACCES),
        says(dom3, NO_TX, Rm("/"), Errno.EACCES),
    )


def test_making_an_existing_node_needs_write_permission(stage: Stage, dom3: Peer) -> None:
    stage.converse(
        says(dom3, NO_TX, Mkdir("/local/domain/3"), Errno.EACCES),
        says(dom3, NO_TX, Mkdir("data")),
    )


def test_only_the_owner_sets_permissions_and_stays_the_owner(
    stage: Stage, dom0: Peer, dom3: Peer
) -> None:
    stage.converse(
        says(dom0, NO_TX, Mkdir("/p")),
        says(dom0, NO_TX, SetPerms("/p", ("b0", "b3"))),
        says(dom3, NO_TX, SetPerms("/p", ("b0",)), Errno.EACCES),
        says(dom3, NO_TX, SetPerms("data", ("b0",)), Errno.EPERM),
        says(dom3, NO_TX, SetPerms("data", ("b3", "r0"))),
        says(dom3, NO_TX, GetPerms("data"), perms("b3", "r0")),
        says(dom0, NO_TX, SetPerms("/local/domain/3/data", ("n0",))),
        says(dom3, NO_TX, Read("data"), Errno.EACCES),
    )


def test_bad_permissions_are_refused_in_order(dom3: Peer, stage: Stage, dom0: Peer) -> None:
    stage.exists = lambda domid: domid != 9
    stage.daemon.set_domain_exists(stage.exists)
    five = ("n3", "r1", "r2", "r4", "r5")
    stage.converse(
        says(dom3, NO_TX, SetPerms("/a.b", (*five, "x")), Errno.ENOSPC),
        says(dom0, NO_TX, SetPerms("/a.b", (*five, "x")), Errno.EINVAL),
        says(dom3, NO_TX, SetPerms("data", five)),
        says(dom0, NO_TX, SetPerms("/a.b", ("n9",)), Errno.ENOENT),
        says(dom0, NO_TX, SetPerms("/a.b", ("n0", "r9")), Errno.EINVAL),
        says(dom0, NO_TX, SetPerms("/tool", ("n0", "")), Errno.EINVAL),
        says(dom0, NO_TX, SetPerms("/tool", ("n0", "r9"))),
        says(dom0, NO_TX, GetPerms("/tool"), perms("n0", "r9")),
    )


def test_an_entry_for_an_unknown_domain_never_counts_until_set_again() -> None:
    there: set[int] = {0}
    stage = Stage(exists=lambda domid: domid in there)
    dom0 = stage.dom0
    stage.converse(
        says(dom0, NO_TX, Write("/p", b"v")),
        says(dom0, NO_TX, SetPerms("/p", ("n0", "r3"))),
    )
    there.add(3)
    dom3 = stage.domain(3)
    stage.converse(
        says(dom3, NO_TX, Read("/p"), Errno.EACCES),
        says(dom0, NO_TX, Write("/p", b"w")),
        says(dom0, NO_TX, Mkdir("/p/child")),
        says(dom3, NO_TX, Read("/p"), Errno.EACCES),
        says(dom3, NO_TX, Read("/p/child"), Errno.EACCES),
        says(dom0, NO_TX, GetPerms("/p/child"), perms("n0", "r3")),
        says(dom0, NO_TX, SetPerms("/p", ("n0", "r3"))),
        says(dom3, NO_TX, Read("/p"), Value(b"w")),
    )


def test_a_domain_named_before_it_is_introduced_keeps_its_permissions(
    stage: Stage, dom0: Peer
) -> None:
    stage.converse(
        says(dom0, NO_TX, Write("/p", b"v")),
        says(dom0, NO_TX, SetPerms("/p", ("n0", "r3"))),
    )
    stage.converse(says(stage.domain(3), NO_TX, Read("/p"), Value(b"v")))


@pytest.mark.parametrize("compat", [COMPAT_4_17, COMPAT_4_20, COMPAT_4_22])
def test_dom0_sets_permissions_of_special_nodes(compat: Compat) -> None:
    stage = Stage(Settings(compat))
    answer = perms("n0", "r3") if compat.special_nodes else Errno.EINVAL
    stage.converse(
        says(stage.dom0, NO_TX, SetPerms("@releaseDomain", ("n0", "r3"))),
        says(stage.dom0, NO_TX, GetPerms("@releaseDomain"), answer),
    )


def test_4_22_has_an_entry_for_every_domain() -> None:
    stage = Stage(Settings(COMPAT_4_22))
    dom0, dom3 = stage.dom0, stage.domain(3)
    stage.converse(
        says(dom0, NO_TX, GetPerms("@releaseDomain"), perms("n0", "r32757")),
        says(dom0, NO_TX, Write("/p", b"v")),
        says(dom0, NO_TX, SetPerms("/p", ("n0", "r32757"))),
        says(dom3, NO_TX, Read("/p"), Value(b"v")),
        says(dom0, NO_TX, Write("/p", b"w")),
        says(dom3, NO_TX, Read("/p"), Value(b"w")),
    )


# ---------------------------------------------------------------- long answers


def test_a_listing_above_a_message_comes_in_parts(stage: Stage, dom0: Peer) -> None:
    names = [f"child-{number:04}" for number in range(700)]
    stage.converse(*(says(dom0, NO_TX, Mkdir(f"/d/{name}")) for name in names))
    stage.converse(says(dom0, NO_TX, Directory("/d"), Errno.E2BIG))
    found, generation = b"", b""
    while True:
        payload = stage.ask(dom0, NO_TX, DirectoryPart("/d", len(found)))
        assert len(payload) <= 4096
        generation_now, _, part = payload.partition(b"\0")
        assert generation in (b"", generation_now)
        generation = generation_now
        if part.endswith(b"\0\0") or part == b"\0":
            found += part[:-1]
            break
        assert part.endswith(b"\0")
        found += part
    assert found.decode().split("\0")[:-1] == names


def test_a_part_from_behind_the_end_is_the_end(stage: Stage, dom0: Peer) -> None:
    generation = stage.ask(dom0, NO_TX, DirectoryPart("/", 0)).partition(b"\0")[0]
    assert stage.ask(dom0, NO_TX, DirectoryPart("/", 0)) == generation + b"\0tool\0\0"
    assert stage.ask(dom0, NO_TX, DirectoryPart("/", 5)) == generation + b"\0\0"
    assert stage.ask(dom0, NO_TX, DirectoryPart("/", 99)) == generation + b"\0\0"


def test_the_generation_tells_when_children_came_or_went(stage: Stage, dom0: Peer) -> None:
    stage.converse(says(dom0, NO_TX, Write("/d/x", b"")))
    before = stage.ask(dom0, NO_TX, DirectoryPart("/d", 0))
    stage.converse(says(dom0, NO_TX, Write("/d/x", b"v")))
    assert stage.ask(dom0, NO_TX, DirectoryPart("/d", 0)) == before
    stage.converse(says(dom0, NO_TX, Mkdir("/d/y")))
    assert stage.ask(dom0, NO_TX, DirectoryPart("/d", 0)).split(b"\0")[0] != before.split(b"\0")[0]


# ---------------------------------------------------------------- quotas


def test_a_domain_owns_so_many_nodes_and_no_more() -> None:
    stage = Stage(Settings(quotas=Quotas(nodes=4)))
    dom0, dom3 = stage.dom0, stage.domain(3)
    stage.converse(
        says(dom0, NO_TX, Mkdir("/p")),
        says(dom0, NO_TX, SetPerms("/p", ("n3",))),
        says(dom3, NO_TX, Mkdir("/p/a/b")),
        says(dom3, NO_TX, Mkdir("/p/c/d"), Errno.ENOSPC),
        says(dom3, NO_TX, Read("/p/c"), Errno.ENOENT),
        says(dom3, NO_TX, Mkdir("/p/c")),
        says(dom3, NO_TX, Mkdir("/p/d"), Errno.ENOSPC),
        says(dom3, NO_TX, Write("/p/c", b"v")),
        says(dom0, NO_TX, Mkdir("/p/over")),
        says(dom3, NO_TX, Rm("/p/c")),
        says(dom3, NO_TX, Mkdir("/p/d"), Errno.ENOSPC),
        says(dom3, NO_TX, Rm("/p/over")),
        says(dom3, NO_TX, Mkdir("/p/d")),
    )


@pytest.mark.parametrize(
    ("compat", "largest"), [(COMPAT_4_17, 2015), (COMPAT_4_20, 2024), (COMPAT_4_22, 2023)]
)
def test_the_largest_value_of_a_domain(compat: Compat, largest: int) -> None:
    stage = Stage(Settings(compat))
    dom0, dom3 = stage.dom0, stage.domain(3)
    stage.converse(
        says(dom0, NO_TX, Mkdir("/p")),
        says(dom0, NO_TX, SetPerms("/p", ("n3",))),
        says(dom3, NO_TX, Write("/p", bytes(largest))),
        says(dom3, NO_TX, Write("/p", bytes(largest + 1)), Errno.ENOSPC),
        says(dom0, NO_TX, Write("/p", bytes(largest + 1))),
        says(dom3, NO_TX, Mkdir("/p/x"), Errno.ENOSPC),
        says(dom3, NO_TX, Read("/p/x"), Errno.ENOENT),
    )


@pytest.mark.parametrize(
    ("compat", "longest", "privileged_too"),
    [(COMPAT_4_17, 2048, True), (COMPAT_4_20, 2048, False), (COMPAT_4_22, 2047, False)],
)
def test_the_longest_path_of_a_domain(compat: Compat, longest: int, privileged_too: bool) -> None:
    stage = Stage(Settings(compat))
    dom0, dom3 = stage.dom0, stage.domain(3)
    fits, long = "/" + "a" * (longest - 1), "/" + "a" * longest
    home = "/local/domain/3/"
    stage.converse(
        says(dom3, NO_TX, Read(fits), Errno.EACCES),
        says(dom3, NO_TX, Read(long), Errno.EINVAL),
        says(dom3, NO_TX, Read(home + "a" * longest), Errno.EACCES),
        says(dom3, NO_TX, Read(home + "a" * (longest + 1)), Errno.EINVAL),
        says(dom0, NO_TX, Read(long), Errno.EINVAL if privileged_too else Errno.ENOENT),
    )


def test_dom0_and_a_bound_of_zero_are_free_of_quotas() -> None:
    stage = Stage(Settings(quotas=Quotas(nodes=0, node_size=0)))
    dom0, dom3 = stage.dom0, stage.domain(3)
    stage.converse(
        says(dom0, NO_TX, Mkdir("/p")),
        says(dom0, NO_TX, SetPerms("/p", ("n3",))),
        says(dom3, NO_TX, Write("/p/x", bytes(4000))),
        says(dom0, NO_TX, Write("/q", bytes(4092))),
        says(dom0, NO_TX, Read("/q"), Value(bytes(4092))),
    )


def test_a_node_may_lie_thousands_of_levels_deep(stage: Stage, dom0: Peer) -> None:
    deep = "/a" * 2000
    stage.converse(
        says(dom0, NO_TX, Write(deep, b"v")),
        says(dom0, NO_TX, Read(deep), Value(b"v")),
        says(dom0, NO_TX, Rm("/a")),
        says(dom0, NO_TX, Directory("/"), Listing(b"tool\0")),
    )


@pytest.mark.parametrize("op", [Op.READ, Op.MKDIR, Op.RM, Op.DIRECTORY, Op.GET_PERMS])
def test_a_malformed_payload_is_judged_before_the_path(stage: Stage, dom0: Peer, op: Op) -> None:
    stage.converse(says(dom0, NO_TX, Raw(op, b"/missing"), Errno.EINVAL))
