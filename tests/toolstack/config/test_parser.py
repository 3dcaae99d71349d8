from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.toolstack.config.vectors import MEANT, SAME, Settings
from toolstack.config.errors import SettingRefused, SyntaxRefused
from toolstack.config.parser import NESTING_MAX, Atom, List, Value, parse
from toolstack.config.settings import add_up


def settings_of(text: str) -> Settings | None:
    """What a text sets, in the form of the vectors; None if it is refused."""
    try:
        settings, _ = add_up(parse(text, "t.cfg").statements)
    except (SyntaxRefused, SettingRefused):
        return None
    return {setting.name: _plain(setting.value) for setting in settings}


def _plain(value: Value) -> str | list[str | None]:
    if isinstance(value, Atom):
        return value.text
    return [item.text if isinstance(item, Atom) else None for item in value.items]


@pytest.mark.parametrize(("text", "settings"), SAME)
def test_a_text_sets_what_xl_takes_from_it(text: str, settings: Settings | None) -> None:
    assert settings_of(text) == settings


@pytest.mark.parametrize(("text", "xl", "meant"), MEANT)
def test_what_xl_misreads_is_read_as_it_is_meant(
    text: str, xl: Settings | None, meant: Settings
) -> None:
    assert settings_of(text) == meant
    assert xl != meant


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "a=\n5",
            "t.cfg:1:3: found the end of the line, expected a quoted string, a number or '['",
        ),
        ("\n\n a b", "t.cfg:3:4: found a name \"b\", expected '=' or '+='"),
        (
            "a=kernel",
            "t.cfg:1:3: found a name \"kernel\", expected a quoted string, a number or '['",
        ),
        ("a=[1\n\n 2]", "t.cfg:3:2: found a number \"2\", expected ',' or ']'"),
        (
            "a=[1,\n",
            "t.cfg:2:1: found the end of the file, expected a quoted string, a number or '['",
        ),
        ("a=1 'x'", "t.cfg:1:5: found a string \"x\", expected the end of the line or ';'"),
        ("5=1", 't.cfg:1:1: found a number "5", expected the name of a setting'),
    ],
)
def test_a_refusal_names_place_what_was_found_and_what_belongs_there(text: str, line: str) -> None:
    with pytest.raises(SyntaxRefused) as refused:
        parse(text, "t.cfg")
    assert str(refused.value) == line


def test_a_place_counts_lines_inside_lists_and_joined_strings() -> None:
    text = "a=[ # one\n 'x\\\ny',\n]\n  b='z'"
    first, second = parse(text, "t.cfg").statements
    assert (second.where.line, second.where.column) == (5, 3)
    assert isinstance(first.value, List)
    assert (first.value.items[0].where.line, first.value.items[0].where.column) == (2, 2)


def test_lists_nest_to_a_bound() -> None:
    assert settings_of("a=" + "[" * NESTING_MAX + "]" * NESTING_MAX) is not None
    with pytest.raises(SyntaxRefused, match=f"at most {NESTING_MAX} lists"):
        parse("a=" + "[" * 100_000, "t.cfg")


@given(st.text(alphabet="ab=+[],;'\"\\#\n \t\r019xA(.\u00fc\0", max_size=40))
def test_any_text_is_parsed_or_refused_in_one_printable_line(text: str) -> None:
    said = ""
    try:
        parse(text, "t.cfg")
    except SyntaxRefused as refused:
        said = str(refused)
    assert said == "" or said.isprintable()


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


@given(st.text(alphabet=st.characters(exclude_characters="\0"), max_size=60))
def test_any_string_comes_back_from_its_quotes(text: str) -> None:
    assert settings_of(f"a={_quoted(text)}\n") == {"a": text}


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_.]{0,8}", fullmatch=True),
        st.text(max_size=9).filter(lambda t: "\0" not in t)
        | st.lists(st.text(alphabet="ab'\\\n,]#", max_size=5), max_size=4),
        max_size=5,
    ),
    st.sampled_from(["\n", ";", " ; # c\n", "\n\n"]),
)
def test_settings_come_back_however_they_are_separated(
    settings: dict[str, str | list[str]], separator: str
) -> None:
    def value(of: str | list[str]) -> str:
        if isinstance(of, str):
            return _quoted(of)
        return "[" + "".join(f"\n  {_quoted(item)} ,# c" for item in of) + "\n]"

    text = separator.join(f"{name}={value(of)}" for name, of in settings.items())
    assert settings_of(text) == settings
