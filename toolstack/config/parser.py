"""The statements of a configuration: `name = value`, `name += value`.

Source: xl.cfg(5), section SYNTAX; the grammar of libxlutil.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from toolstack.config.errors import ConfigWarning, SyntaxRefused, Where
from toolstack.config.lexer import Kind, Token, split_words

NESTING_MAX: Final = 16
"""Deepest list in a list."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A string or a number: which one it is meant to be, its key decides, as in xl."""

    text: str
    where: Where

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class List:
    items: tuple[Value, ...]
    where: Where

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.items))}]"


Value = Atom | List


@dataclass(frozen=True, slots=True)
class Statement:
    name: str
    appends: bool
    """`+=` rather than `=`"""
    value: Value
    where: Where
    """of the name"""


@dataclass(frozen=True, slots=True)
class Statements:
    statements: tuple[Statement, ...]
    warnings: tuple[ConfigWarning, ...]


def parse(text: str, source: str) -> Statements:
    """The statements of `text` in order; messages call it `source`. Raises: SyntaxRefused."""
    words = split_words(text, source)
    return Statements(_Parser(words.tokens).file(), words.warnings)


class _Parser:
    """Reads tokens one by one, looking at one."""

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self._tokens = tokens
        self._at = 0

    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self, *kinds: Kind, expected: str = "") -> Token:
        """The next token, which is one of `kinds`."""
        token = self._next()
        if token.kind not in kinds:
            wanted = expected or " or ".join(kind.value for kind in kinds)
            raise SyntaxRefused(token.where, str(token), wanted)
        self._at += 1
        return token

    def _skip(self, *kinds: Kind) -> None:
        while self._next().kind in kinds:
            self._at += 1

    def file(self) -> tuple[Statement, ...]:
        statements: list[Statement] = []
        self._skip(Kind.NEWLINE, Kind.SEMICOLON)
        while self._next().kind is not Kind.END:
            statements.append(self._statement())
            if self._next().kind is not Kind.END:
                self._take(Kind.NEWLINE, Kind.SEMICOLON)
            self._skip(Kind.NEWLINE, Kind.SEMICOLON)
        return tuple(statements)

    def _statement(self) -> Statement:
        name = self._take(Kind.NAME, expected="the name of a setting")
        operator = self._take(Kind.ASSIGN, Kind.ADD)
        return Statement(name.text, operator.kind is Kind.ADD, self._value(0), name.where)

    def _value(self, depth: int) -> Value:
        token = self._take(
            Kind.STRING, Kind.NUMBER, Kind.OPEN, expected="a quoted string, a number or '['"
        )
        if token.kind is not Kind.OPEN:
            return Atom(token.text, token.where)
        if depth == NESTING_MAX:
            raise SyntaxRefused(
                token.where, "a list", f"at most {NESTING_MAX} lists inside each other"
            )
        items: list[Value] = []
        self._skip(Kind.NEWLINE)
        while self._next().kind is not Kind.CLOSE:
            items.append(self._value(depth + 1))
            self._skip(Kind.NEWLINE)
            if self._next().kind is not Kind.CLOSE:
                self._take(Kind.COMMA, Kind.CLOSE)
                self._skip(Kind.NEWLINE)
        self._take(Kind.CLOSE)
        return List(tuple(items), token.where)
