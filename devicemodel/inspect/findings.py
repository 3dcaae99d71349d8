"""What was found out about an image: values, the same for text and JSON."""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.place import Plan
from handoff.descriptor import BootMethod
from handoff.errors import HandoffError
from handoff.platforms import Platform, Reservation


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the image that decides something."""

    name: str
    offset: int | None
    """bytes from the start of the image, unpacked where it is packed as a whole; None for what a
    note says, whose place is told by its headers"""
    value: int
    note: str
    """what it comes to, a few words; may be empty"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The error a boot would end with."""

    kind: str
    exit_code: int
    text: str

    @classmethod
    def of(cls, error: HandoffError) -> Refusal:
        return cls(error.kind, error.exit_code, str(error))


@dataclass(frozen=True, slots=True)
class Image:
    """What the file is, as far as it was understood."""

    name: str
    size: int
    method: BootMethod | None
    """None: it is refused"""
    what: str
    """what it is, one line"""
    why: str
    """what the method was chosen by"""
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    """The same boot with one thing changed."""

    option: str
    """as on the command line: `--entry 64`"""
    outcome: str | Refusal
    """the name of the method it would be started by, or why it would not"""


@dataclass(frozen=True, slots=True)
class Setting:
    """The guest it would be started in."""

    platform: Platform
    memory_mib: int
    low_ram_end: int
    reserved: tuple[Reservation, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    setting: Setting
    image: Image
    outcome: Plan | Refusal
    alternatives: tuple[Alternative, ...]
    least_memory_mib: int | None
    """the smallest guest of the platform that it can be handed over in; None if there is none"""
