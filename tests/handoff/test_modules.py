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
        ("a  b", [("a", " b")]),
    ],
)
def test_a_comma_separates_and_two_are_one(text: str, modules: list[tuple[str, str]]) -> None:
    assert split_modules(text) == tuple(ModuleFile(*module) for module in modules)


@given(st.lists(st.text("ab, =", min_size=1), min_size=1))
def test_what_was_joined_with_commas_doubled_comes_apart_again(parts: list[str]) -> None:
    # A comma that begins a part would pair with the separator in front of it.
    parts = [part.lstrip(",") or "x" for part in parts]
    found = split_modules(",".join(part.replace(",", ",,") for part in parts))
    assert found == tuple(
        ModuleFile(path, arguments) for path, _, arguments in (p.partition(" ") for p in parts)
    )
