"""The values of the handoff's xenstore nodes: closed forms, written and read strictly.

What dom0 reads was written by the stub domain and is untrusted; what the stub domain reads
may come from a toolstack of another version. Both refuse whatever is not exactly one of the
forms, so nothing half understood is acted on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from handoff.addresses import GPA_LIMIT, Gpa
from handoff.errors import ERROR_LINE_MAX_BYTES, DescriptorRefused, PeerMisbehaved
from handoff.frame import FRAME_MAX_BYTES, GENERATION_MAX
from handoff.stages import Stage

PROTOCOL_VERSION: Final = 1
RUNNING: Final = b"running"
"""The one word of libxl's readiness node."""

_STATE_MAX_BYTES: Final = len(str(GENERATION_MAX)) + 1 + 16
_DECIMAL: Final = re.compile(rb"0|[1-9][0-9]{0,18}")
_HEXADECIMAL: Final = re.compile(rb"0x(?:0|[1-9a-f][0-9a-f]{0,15})")
_ERROR_LINE: Final = re.compile(rb"[a-z-]{1,32}: [ -~]+")

E = TypeVar("E", bound=Enum)


class Carrier(Enum):
    """The way the frame travels."""

    XENSTORE = "xenstore"
    MEMORY = "memory"
    CMDLINE = "cmdline"


class Offer(Enum):
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class OfferState:
    """Dom0's word on one attempt."""

    generation: int
    offer: Offer

    def __post_init__(self) -> None:
        assert 1 <= self.generation <= GENERATION_MAX, self.generation

    def encode(self) -> bytes:
        return f"{self.generation} {self.offer.value}".encode("ascii")

    @classmethod
    def decode(cls, value: bytes) -> OfferState:
        """Raises: DescriptorRefused."""
        words = _state_words(value, Offer)
        if words is None:
            raise DescriptorRefused(
                "direct-boot/state",
                f"is {shown(value)}, must be '<generation> published' or '<generation> withdrawn'",
            )
        return cls(*words)


@dataclass(frozen=True, slots=True)
class Answer:
    """The stub domain's word: how far it is in the attempt it names."""

    generation: int
    stage: Stage

    def __post_init__(self) -> None:
        assert 1 <= self.generation <= GENERATION_MAX, self.generation

    def encode(self) -> bytes:
        return f"{self.generation} {self.stage.value}".encode("ascii")

    @classmethod
    def decode(cls, value: bytes) -> Answer:
        """Raises: PeerMisbehaved."""
        words = _state_words(value, Stage)
        if words is None:
            stages = ", ".join(stage.value for stage in Stage)
            raise PeerMisbehaved(
                f"the device model's state is {shown(value)}, must be '<generation> <stage>' "
                f"with a stage of {stages}"
            )
        return cls(*words)


def decode_error(value: bytes) -> str:
    """The device model's error line, `<kind>: <text>`. Raises: PeerMisbehaved."""
    if len(value) > ERROR_LINE_MAX_BYTES:
        raise PeerMisbehaved(
            f"the device model's error has {len(value)} bytes, at most {ERROR_LINE_MAX_BYTES}"
        )
    if _ERROR_LINE.fullmatch(value) is None:
        raise PeerMisbehaved(
            f"the device model's error is {shown(value)}, must be one line '<kind>: <text>'"
        )
    return value.decode("ascii")


def decode_version(value: bytes) -> int:
    """The protocol version, which is PROTOCOL_VERSION. Raises: DescriptorRefused."""
    if value != str(PROTOCOL_VERSION).encode("ascii"):
        raise DescriptorRefused(
            "direct-boot/version",
            f"is {shown(value)}, this device model speaks {PROTOCOL_VERSION}: "
            "use a toolstack and a device model of one release",
        )
    return PROTOCOL_VERSION


def decode_carrier(value: bytes) -> Carrier:
    """Raises: DescriptorRefused."""
    carrier = _member(value, Carrier)
    if carrier is None:
        known = ", ".join(member.value for member in Carrier)
        raise DescriptorRefused("direct-boot/carrier", f"is {shown(value)}, must be one of {known}")
    return carrier


def encode_gpa(at: Gpa) -> bytes:
    return f"{at:#x}".encode("ascii")


def decode_gpa(value: bytes) -> Gpa:
    """The address in `frame-gpa`. Raises: DescriptorRefused."""
    number = int(value, 16) if _HEXADECIMAL.fullmatch(value) else GPA_LIMIT
    if number >= GPA_LIMIT:
        raise DescriptorRefused(
            "direct-boot/frame-gpa",
            f"is {shown(value)}, must be 0x and lower-case digits, below {GPA_LIMIT:#x}",
        )
    return Gpa(number)


def encode_size(size: int) -> bytes:
    return str(size).encode("ascii")


def decode_size(value: bytes) -> int:
    """The bytes in `frame-size`, 1 to FRAME_MAX_BYTES. Raises: DescriptorRefused."""
    number = int(value) if _DECIMAL.fullmatch(value) else 0
    if not 1 <= number <= FRAME_MAX_BYTES:
        raise DescriptorRefused(
            "direct-boot/frame-size",
            f"is {shown(value)}, must be a decimal number from 1 to {FRAME_MAX_BYTES}",
        )
    return number


def shown(value: bytes) -> str:
    """Bytes of a peer as they may appear in a message: quoted, printable, cut."""
    return repr(value[:60])[1:] + (f".. ({len(value)} bytes)" if len(value) > 60 else "")


def _state_words(value: bytes, words: type[E]) -> tuple[int, E] | None:
    if len(value) > _STATE_MAX_BYTES:
        return None
    generation, _, word = value.partition(b" ")
    member = _member(word, words)
    if member is None or _DECIMAL.fullmatch(generation) is None:
        return None
    number = int(generation)
    return (number, member) if 1 <= number <= GENERATION_MAX else None


def _member(word: bytes, words: type[E]) -> E | None:
    return next((member for member in words if member.value.encode("ascii") == word), None)
