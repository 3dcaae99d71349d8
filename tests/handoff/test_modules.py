from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.modules import ModuleFile, split_modules


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("/boot/initrd.img", [("/boot/initrd.img", "")]),
        ("/boot/a,/boot/b", [("/boot/a", ""), ("/boot/b", "")]),
        ("a one two,b three", [("a", "one two"), ("b", "three")]),
        ("a,,b", [("a,b", "")]),
        ("a x=1,,2,b", [("a", "x=1,2"), ("b", "")]),
        ("a,,,b", [("a,", ""), ("b", "")]),
        ("a,,,,b", [("a,,b", "")]),
        ("a,", [("a", ""), ("", "")]),
        (",a", [("", ""), ("a", "")]),
        ("", [("", "")]),
        ("a  b", [("a b", "")]),
        ("a  b c  d", [("a b", "c  d")]),
        ("a   b", [("a ", "b")]),
        ("  a,b    c", [(" a", ""), ("b  c", "")]),
        ("a ", [("a", "")]),
    ],
)
def test_a_comma_or_a_space_separates_and_two_are_one(
    text: str, modules: list[tuple[str, str]]
) -> None:
    assert split_modules(text) == tuple(ModuleFile(*module) for module in modules)


paths = st.text("ab, =", min_size=1)
arguments = st.text("ab, =")


@given(st.lists(st.tuples(paths, arguments), min_size=1))
def test_what_was_joined_with_both_doubled_comes_apart_again(parts: list[tuple[str, str]]) -> None:
    # What begins a part would pair with the separator in front of it, and what ends a path with
    # the space behind it.
    clean = [(path.strip(", ") or "x", text.strip(", ")) for path, text in parts]
    joined = ",".join(
        (path.replace(" ", "  ") + (f" {text}" if text else "")).replace(",", ",,")
        for path, text in clean
    )
    assert split_modules(joined) == tuple(ModuleFile(*part) for part in clean)
