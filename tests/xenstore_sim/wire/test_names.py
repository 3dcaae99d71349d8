"""Paths: what is one, what it means to whom, and how long it counts."""

import pytest

from xenstore_sim.wire import names
from xenstore_sim.wire.errors import InvalidPath
from xenstore_sim.wire.names import AbsolutePath, DomId, SpecialPath

DOM5 = DomId(5)


@pytest.mark.parametrize("text", ["/", "/a", "/a/b-c_D/9@", "/@a", "/local/domain/0/x"])
def test_an_absolute_path_is_itself_to_every_domain(text: str) -> None:
    assert names.resolve(text, DOM5) == names.absolute_path(text) == text


@pytest.mark.parametrize("text", ["@introduceDomain", "@", "@a/b", "@releaseDomain/5"])
def test_a_leading_at_makes_a_special_path(text: str) -> None:
    assert names.resolve(text, DOM5) == names.special_path(text) == text


@pytest.mark.parametrize(
    ("text", "meant"), [("a", "/local/domain/5/a"), ("a/b@", "/local/domain/5/a/b@")]
)
def test_a_relative_path_is_below_the_domains_home(text: str, meant: str) -> None:
    assert names.resolve(text, DOM5) == meant
    assert names.relative_path(text) == text


BAD = ["", "//", "/a/", "a/", "/a//b", "a//b", "/a.b", "/a b", "/a:b", "/é", "@a/", "@a//b", "a\n"]


@pytest.mark.parametrize("text", BAD)
def test_other_bytes_and_stray_slashes_make_no_path(text: str) -> None:
    with pytest.raises(InvalidPath, match="is not a xenstore path"):
        names.resolve(text, DOM5)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (names.absolute_path, "a"),
        (names.absolute_path, "@a"),
        (names.relative_path, "/a"),
        (names.relative_path, "@a"),
        (names.special_path, "/a"),
        (names.special_path, "a"),
    ],
)
def test_each_kind_refuses_the_others(check: object, text: str) -> None:
    assert callable(check)
    with pytest.raises(InvalidPath):
        check(text)


@pytest.mark.parametrize(
    ("path", "above", "base"), [("/a", "/", "a"), ("/a/b", "/a", "b"), ("/a/b/c", "/a/b", "c")]
)
def test_child_undoes_parent_and_base_name(path: str, above: str, base: str) -> None:
    at = AbsolutePath(path)
    assert (names.parent(at), names.base_name(at)) == (above, base)
    assert names.child(names.parent(at), base) == at


def test_the_root_is_above_itself_and_above_special_nodes() -> None:
    assert names.parent(names.ROOT) == names.ROOT
    assert names.parent(SpecialPath("@releaseDomain")) == names.ROOT


@pytest.mark.parametrize(
    ("path", "length"),
    [
        ("/local/domain/5/abc", 3),
        ("/local/domain/12345/abc", 3),
        ("/local/domain/123456/abc", 24),
        ("/local/domain/5", 15),
        ("/a/local/domain/5/b", 19),
        ("@releaseDomain", 14),
    ],
)
def test_the_path_quota_does_not_count_a_home_prefix(path: str, length: int) -> None:
    assert names.quota_length(AbsolutePath(path)) == length
