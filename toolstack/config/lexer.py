"""The words of a configuration file: text in, tokens out.

Source: xl.cfg(5), section SYNTAX; the behaviour of libxlutil's scanner. Three things that
scanner does not take, or takes wrongly, are read here as they are meant, each with a warning:
a backslash at the end of a line, and the two numeric escapes in strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from handoff.errors import printable
from toolstack.config.errors import ConfigWarning, SyntaxRefused, Where

TEXT_MAX_CHARS: Final = 1 << 20
"""Longest configuration read, characters."""


class Kind(Enum):
    """What a token is; the value is its name in messages."""

    NAME = "a name"
    STRING = "a string"
    NUMBER = "a number"
    ASSIGN = "'='"
    ADD = "'+='"
    OPEN = "'['"
    CLOSE = "']'"
    COMMA = "','"
    SEMICOLON = "';'"
    NEWLINE = "the end of the line"
    END = "the end of the file"


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str
    """a string's value without quotes and escapes; else as written"""
    where: Where

    def __str__(self) -> str:
        """The token as a message names it."""
        named = self.kind in (Kind.NAME, Kind.STRING, Kind.NUMBER)
        return f'{self.kind.value} "{printable(self.text, 40)}"' if named else str(self.kind.value)


_PATTERNS: Final = re.compile(
    r"""
      (?P<blank>     [ \t]+ )
    | (?P<continued> \\\n )
    | (?P<NEWLINE>   (?:\#[^\n]*)?\n )
    | (?P<comment>   \#[^\n]*\Z )
    | (?P<NAME>      [a-z][._0-9a-z]* )
    | (?P<NUMBER>    [0-9][0-9a-fx]* )
    | (?P<STRING>    '(?:[^'\\\n]|\\[\s\S])*' | "(?:[^"\\\n]|\\[\s\S])*" )
    | (?P<ADD>       \+= )
    | (?P<ASSIGN>    = )
    | (?P<OPEN>      \[ )
    | (?P<CLOSE>     \] )
    | (?P<COMMA>     , )
    | (?P<SEMICOLON> ; )
    """,
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|[\s\S])")
_SIMPLE_ESCAPES: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\n": "",
    **{character: character for character in "\"'\\"},
}


@dataclass(frozen=True, slots=True)
class Words:
    tokens: tuple[Token, ...]
    """the last one is END"""
    warnings: tuple[ConfigWarning, ...]


def split_words(text: str, source: str) -> Words:
    """The tokens of `text`, which messages call `source`. Raises: SyntaxRefused."""
    if len(text) > TEXT_MAX_CHARS:
        raise SyntaxRefused(
            Where(source, 1, 1), f"{len(text)} characters", f"at most {TEXT_MAX_CHARS}"
        )
    tokens: list[Token] = []
    warnings: list[ConfigWarning] = []
    for kind, word, where in _matches(text, source):
        if kind == "continued":
            warnings.append(ConfigWarning(where, _CONTINUED))
        elif kind == "STRING":
            tokens.append(Token(Kind.STRING, _unquote(word, where, warnings), where))
        elif kind not in ("blank", "comment"):
            tokens.append(Token(Kind[kind], word, where))
    return Words(tuple(tokens), tuple(warnings))


def _matches(text: str, source: str) -> Iterator[tuple[str, str, Where]]:
    at, line, line_start = 0, 1, 0
    while at < len(text):
        where = Where(source, line, at - line_start + 1)
        match = _PATTERNS.match(text, at)
        if match is None:
            raise _stray(text[at : at + 40], where)
        assert match.lastgroup is not None
        yield match.lastgroup, match[0], where
        at = match.end()
        if "\n" in match[0]:
            line += match[0].count("\n")
            line_start = match.start() + match[0].rindex("\n") + 1
    yield Kind.END.name, "", Where(source, line, at - line_start + 1)


_CONTINUED: Final = (
    "a backslash joins this line to the next here, but xl refuses it: "
    "use a list over several lines, or += for a long string"
)


def _unquote(literal: str, where: Where, warnings: list[ConfigWarning]) -> str:
    """The value of a quoted string; its numeric escapes get one warning each."""

    def value(match: re.Match[str]) -> str:
        escape = match[1]
        if escape in _SIMPLE_ESCAPES:
            if escape == "\n":
                warnings.append(ConfigWarning(where, _CONTINUED))
            return _SIMPLE_ESCAPES[escape]
        if escape[0] in "01234567" or len(escape) == 3:
            code = int(escape[1:], 16) if escape[0] == "x" else int(escape, 8)
            if not 1 <= code <= 0x7F:
                raise SyntaxRefused(
                    where, f"the escape \\{escape}", "one of an ASCII character other than NUL"
                )
            warnings.append(
                ConfigWarning(
                    where,
                    f"\\{escape} is read as the character {code:#04x}, but xl "
                    + ("refuses it" if escape[0] == "x" else "drops it")
                    + ": write the character itself",
                )
            )
            return chr(code)
        raise SyntaxRefused(
            where,
            f"the escape \\{printable(escape, 1)} in a string",
            "one of \\a \\b \\f \\n \\r \\t \\v \\\\ \\' \\\" \\xHH \\OOO, "
            "with two hexadecimal or up to three octal digits",
        )

    inside = literal[1:-1]
    if "\0" in inside:
        raise SyntaxRefused(where, "a NUL character in a string", "text")
    return _ESCAPE.sub(value, inside)


_MEANT: Final = (
    ("'\"", "a closing quote on the same line"),
    ("\\", "a backslash only in a string or as the last character of a line"),
    ("\r", "lines that end with a line feed alone: convert the file, as with dos2unix"),
    ("+-.():", "a quoted string or a number without sign: Python code is not read"),
    ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "lower case in names and numbers; true is 1, false is 0"),
)


def _stray(text: str, where: Where) -> SyntaxRefused:
    expected = "a name, a quoted string, a number, or a comment behind #"
    for characters, meant in _MEANT:
        if text[0] in characters:
            expected = meant
    word = re.match(r"[^ \t\n]*", text)
    assert word is not None
    return SyntaxRefused(where, f"'{printable(word[0], 24)}'", expected)
