from __future__ import annotations

import pytest

from toolstack.config.errors import SyntaxRefused
from toolstack.config.lexer import TEXT_MAX_CHARS, Kind, split_words


def test_every_kind_of_word_is_told_from_the_others() -> None:
    words = split_words("a+=[1,'x'];b=2 # c\n", "t.cfg")
    assert [token.kind for token in words.tokens] == [
        *(Kind.NAME, Kind.ADD, Kind.OPEN, Kind.NUMBER, Kind.COMMA, Kind.STRING, Kind.CLOSE),
        *(Kind.SEMICOLON, Kind.NAME, Kind.ASSIGN, Kind.NUMBER, Kind.NEWLINE, Kind.END),
    ]
    assert words.warnings == ()


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("a='x' \\\n", "t.cfg:1:7: a backslash joins this line to the next here, but xl refuses"),
        ("a='x\\\ny'", "t.cfg:1:3: a backslash joins this line to the next here, but xl refuses"),
        ("a='\\x41'", "t.cfg:1:3: \\x41 is read as the character 0x41, but xl refuses it"),
        ("a='\\101'", "t.cfg:1:3: \\101 is read as the character 0x41, but xl drops it"),
    ],
)
def test_what_xl_would_not_read_so_is_said(text: str, warning: str) -> None:
    (said,) = split_words(text, "t.cfg").warnings
    assert str(said).startswith(warning)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a='x", "found ''x', expected a closing quote on the same line"),
        ("a=5\r\n", "found '?', expected lines that end with a line feed alone: convert the file"),
        ("a=True", "found 'True', expected lower case in names and numbers; true is 1, false is 0"),
        ("a=-5", "found '-5', expected a quoted string or a number without sign"),
        ("a=\\5", "found '\\5', expected a backslash only in a string or as the last character"),
        ("a=\x1b[2J", "found '?[2J', expected a name, a quoted string, a number, or a comment"),
        ("a='\\q'", "found the escape \\q in a string, expected one of \\a \\b"),
        ("a='\\x4'", "found the escape \\x in a string, expected one of \\a \\b"),
        ("a='\\0'", "found the escape \\0, expected one of an ASCII character other than NUL"),
        ("a='\\xc3'", "found the escape \\xc3, expected one of an ASCII character"),
        ("a='\\777'", "found the escape \\777, expected one of an ASCII character"),
        ("a='\0'", "found a NUL character in a string, expected text"),
    ],
)
def test_a_stray_character_is_named_with_what_was_probably_meant(text: str, line: str) -> None:
    with pytest.raises(SyntaxRefused) as refused:
        split_words(text, "t.cfg")
    assert str(refused.value).startswith("t.cfg:1:3: " if "\r" not in text else "t.cfg:1:4: ")
    assert line in str(refused.value)


def test_a_text_beyond_all_measure_is_refused_unread() -> None:
    with pytest.raises(SyntaxRefused, match=f"expected at most {TEXT_MAX_CHARS}"):
        split_words("\n" * (TEXT_MAX_CHARS + 1), "t.cfg")
