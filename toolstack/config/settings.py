"""The settings that statements add up to, taken one by one as the type their key wants.

Source: libxlutil: the last assignment counts, `+=` joins strings or lists, a number may stand
in quotes and is read as C reads it (0x.., 0..), any number but 0 is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from toolstack.config.errors import ConfigWarning, SettingRefused, Where
from toolstack.config.parser import Atom, List, Statement, Value

COMMAND_LINE: Final = "command line"
"""Source of settings that override the file's without a warning."""

_NUMBER: Final = re.compile(
    r"\s*(?P<sign>[+-]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0(?P<octal>[0-7]+)|(?P<decimal>0|[1-9][0-9]*))"
)
_NUMBER_MAX: Final = (1 << 63) - 1
_SWITCH: Final = "write 1 or 0, without quotes"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a key is set to in the end."""

    name: str
    value: Value
    where: Where
    """of the statement that had the last word"""
    appended: bool
    """by `+=`"""


def add_up(
    statements: Iterable[Statement],
) -> tuple[tuple[Setting, ...], tuple[ConfigWarning, ...]]:
    """The settings in the order of their first statement, and what was overruled.

    Raises: SettingRefused where `+=` mixes a list and a string.
    """
    settings: dict[str, Setting] = {}
    warnings: list[ConfigWarning] = []
    for statement in statements:
        name, value = statement.name, statement.value
        before = settings.get(name)
        if before is not None and statement.appends:
            value = _joined(before, statement)
        elif before is not None and statement.where.source != COMMAND_LINE:
            warnings.append(
                ConfigWarning(
                    statement.where, f"{name} replaces the one of line {before.where.line}"
                )
            )
        settings[name] = Setting(name, value, statement.where, statement.appends)
    return tuple(settings.values()), tuple(warnings)


def _joined(before: Setting, statement: Statement) -> Value:
    old, new = before.value, statement.value
    if isinstance(old, Atom) and isinstance(new, Atom):
        return Atom(old.text + new.text, new.where)
    if isinstance(old, List) and isinstance(new, List):
        return List(old.items + new.items, new.where)
    raise SettingRefused(
        statement.where,
        statement.name,
        str(new),
        f"+= cannot join {_kind(new)} to {_kind(old)}",
        f"write {_kind(old)} here, or = to replace it",
    )


class Settings:
    """The settings by name; `left()` are those nobody took."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        self._all = {setting.name: setting for setting in settings}
        self._taken: set[str] = set()

    def where(self, name: str) -> Where | None:
        """Where `name` is set, None if it is not."""
        setting = self._all.get(name)
        return None if setting is None else setting.where

    def left(self) -> tuple[Setting, ...]:
        return tuple(self._all[name] for name in self._all if name not in self._taken)

    def text(self, name: str) -> str | None:
        """A string, None if not set. Raises: SettingRefused, as all below."""
        setting = self._take(name)
        if setting is None:
            return None
        if isinstance(setting.value, Atom):
            return setting.value.text
        raise _refused(setting, "is a list, must be one string", f'write {name}="..."')

    def number(self, name: str) -> int | None:
        """A number, None if not set."""
        setting = self._take(name)
        if setting is None:
            return None
        if isinstance(setting.value, List):
            raise _refused(setting, "is a list, must be a number", f"write {name}=NUMBER")
        if setting.appended:
            raise _refused(setting, "+= does not work on numbers", f"write {name}=NUMBER")
        match = _NUMBER.fullmatch(setting.value.text)
        if match is None:
            raise _refused(
                setting,
                "is not a number",
                "write it decimal, hexadecimal behind 0x, or octal behind 0",
            )
        base = {"hex": 16, "octal": 8, "decimal": 10}[str(match.lastgroup)]
        value = int(match[match.lastgroup or ""], base) * (-1 if match["sign"] == "-" else 1)
        if abs(value) > _NUMBER_MAX:
            raise _refused(setting, "is beyond 64 bits", "write a smaller number")
        return value

    def switch(self, name: str) -> bool | None:
        """A number as truth, None if not set."""
        try:
            value = self.number(name)
        except SettingRefused as error:
            raise SettingRefused(error.where, name, error.value, error.problem, _SWITCH) from error
        return None if value is None else value != 0

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, empty if not set."""
        setting = self._take(name)
        if setting is None:
            return ()
        if isinstance(setting.value, Atom):
            raise _refused(
                setting, "is one string, must be a list of strings", f'write {name}=[ "..." ]'
            )
        return _strings(setting, setting.value)

    def text_or_texts(self, name: str) -> tuple[str, ...]:
        """One string or a list of strings, empty if not set."""
        setting = self._take(name)
        if setting is None:
            return ()
        if isinstance(setting.value, Atom):
            return (setting.value.text,)
        return _strings(setting, setting.value)

    def _take(self, name: str) -> Setting | None:
        self._taken.add(name)
        return self._all.get(name)


def _strings(setting: Setting, value: List) -> tuple[str, ...]:
    texts: list[str] = []
    for number, item in enumerate(value.items):
        if isinstance(item, List):
            raise SettingRefused(
                item.where,
                f"{setting.name}[{number}]",
                str(item),
                "is a list, must be a string",
                "write its parts as items of the outer list",
            )
        texts.append(item.text)
    return tuple(texts)


def _refused(setting: Setting, problem: str, remedy: str) -> SettingRefused:
    return SettingRefused(setting.where, setting.name, str(setting.value), problem, remedy)


def _kind(value: Value) -> str:
    return "a list" if isinstance(value, List) else "a string"
