from __future__ import annotations

import pytest

from toolstack.config.errors import SettingRefused
from toolstack.config.parser import parse
from toolstack.config.settings import COMMAND_LINE, Settings, add_up


def settings(text: str) -> Settings:
    return Settings(add_up(parse(text, "t.cfg").statements)[0])


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("512", 512),
        ("'512'", 512),
        ("0x200", 512),
        ("'0X1F'", 31),
        ("01000", 512),
        ("0", 0),
        ("00", 0),
        ("' -7'", -7),
        ("'+7'", 7),
        ("'0x7fffffffffffffff'", (1 << 63) - 1),
    ],
)
def test_numbers_are_read_as_c_reads_them(value: str, number: int) -> None:
    assert settings(f"a={value}").number("a") == number


@pytest.mark.parametrize(
    "value", ["''", "'x'", "09", "0x", "12ab", "'1 '", "'1.5'", "'1_0'", "'\u0661'", "[1]"]
)
def test_what_is_no_number_is_refused_where_one_is_wanted(value: str) -> None:
    with pytest.raises(SettingRefused, match=r"t\.cfg:1:1: a=.* number"):
        settings(f"a={value}").number("a")


def test_a_number_beyond_64_bits_is_refused() -> None:
    with pytest.raises(SettingRefused, match="64 bits"):
        settings("a=0x8000000000000000").number("a")


def test_a_number_cannot_be_added_to() -> None:
    with pytest.raises(SettingRefused, match=r"\+= does not work on numbers"):
        settings("a=1\na+=2").number("a")


@pytest.mark.parametrize(("value", "truth"), [("0", False), ("1", True), ("'2'", True)])
def test_any_number_but_zero_is_true(value: str, truth: bool) -> None:
    assert settings(f"a={value}").switch("a") is truth


def test_a_word_is_no_truth() -> None:
    with pytest.raises(SettingRefused, match="write 1 or 0"):
        settings("a='yes'").switch("a")


def test_strings_and_lists_are_not_taken_for_each_other() -> None:
    both = settings("s='x'\nl=['x', 'y']\nd=['x', [1]]")
    assert both.text("s") == "x"
    assert both.texts("l") == ("x", "y")
    assert both.text_or_texts("s") == ("x",)
    assert both.text_or_texts("l") == ("x", "y")
    with pytest.raises(SettingRefused, match=r't\.cfg:2:1: l="\[x, y\]": is a list.*l="\.\.\."'):
        both.text("l")
    with pytest.raises(SettingRefused, match=r't\.cfg:1:1: s="x": is one string.*s=\[ "'):
        both.texts("s")
    with pytest.raises(SettingRefused, match=r'd\[1\]="\[1\]": is a list, must be a string'):
        both.texts("d")


def test_what_is_not_set_is_none_and_what_nobody_took_is_left() -> None:
    some = settings("a=1\nb=2\nc=3")
    assert (some.text("x"), some.number("x"), some.switch("x")) == (None, None, None)
    assert (some.texts("x"), some.text_or_texts("x"), some.where("x")) == ((), (), None)
    assert some.number("b") == 2
    assert [setting.name for setting in some.left()] == ["a", "c"]


def test_a_setting_that_is_replaced_is_told() -> None:
    _, warnings = add_up(parse("a=1\n\na=2\na+='3'", "t.cfg").statements)
    assert [str(warning) for warning in warnings] == ["t.cfg:3:1: a replaces the one of line 1"]


def test_the_command_line_replaces_silently() -> None:
    statements = (*parse("a=1", "t.cfg").statements, *parse("a=2", COMMAND_LINE).statements)
    both, warnings = add_up(statements)
    assert (str(both[0].value), warnings) == ("2", ())


def test_a_list_and_a_string_are_not_joined() -> None:
    with pytest.raises(SettingRefused, match=r"t\.cfg:2:1: .*cannot join a string to a list"):
        settings("a=['x']\na+='y'")
