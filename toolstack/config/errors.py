"""Where something stands in a configuration, and what is said about it.

Every refusal is a ConfigError: these add the fields its one line is made of.
"""

from __future__ import annotations

from dataclasses import dataclass

from handoff.errors import ConfigError, printable

_SHOWN_MAX = 60


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a configuration."""

    source: str
    """name of the file, or `command line`"""
    line: int
    """from 1"""
    column: int
    """from 1, in characters"""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class ConfigWarning:
    """Something the operator should know that does not stop the guest."""

    where: Where | None
    text: str
    left_to_libxl: bool = False
    """it has no effect in the simulation: on a real Xen, it is passed on"""

    def __str__(self) -> str:
        return self.text if self.where is None else f"{self.where}: {self.text}"


@dataclass(eq=False)
class SyntaxRefused(ConfigError):
    """The text is not a configuration."""

    where: Where
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}, expected {self.expected}"


@dataclass(eq=False)
class SettingRefused(ConfigError):
    """A setting has a value that cannot be used, or is missing."""

    where: Where | None
    """None where the value did not come from a file"""
    key: str
    value: str | None
    """as text; None if the setting is missing"""
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = "" if self.where is None else f"{self.where}: "
        setting = self.key if self.value is None else f"{self.key}={shown(self.value)}"
        return f"{place}{setting}: {self.problem}: {self.remedy}"


def shown(text: str) -> str:
    """A value as it may appear in a message: quoted, printable, cut."""
    return f'"{printable(text, _SHOWN_MAX)}"'
