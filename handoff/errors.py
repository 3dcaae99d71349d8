"""Every refusal of the handoff: what, where, the bound, and what to do about it.

Each class has a `kind`, the word that crosses xenstore in front of the device model's
error line, and an `exit_code`, the status a program ends with. Both are unique, so that a
script can tell one failure from another, and are listed in docs/config.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

ERROR_LINE_MAX_BYTES = 900
"""Longest error line written to or taken from xenstore, bytes."""


class HandoffError(Exception):
    """Base of all refusals; `str()` is one line for a person."""

    kind: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 70

    def line(self) -> str:
        """`<kind>: <text>` as it crosses xenstore: printable ASCII, bounded."""
        return error_line(self.kind, str(self))


def printable(text: str, limit: int) -> str:
    """`text` with everything but printable ASCII replaced, cut to `limit` characters."""
    clean = "".join(c if " " <= c <= "~" else "?" for c in text)
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def error_line(kind: str, text: str) -> str:
    """One error line for xenstore, at most ERROR_LINE_MAX_BYTES."""
    return printable(f"{kind}: {text}", ERROR_LINE_MAX_BYTES)


class ConfigError(HandoffError):
    """The operator's configuration or command line cannot be used."""

    kind = "config"
    exit_code = 10


class ImageError(HandoffError):
    """A file named by the operator is missing, unreadable, empty or changed while read."""

    kind = "image"
    exit_code = 11


@dataclass(eq=False)
class LayoutError(HandoffError):
    """A field of an image holds what its format forbids."""

    kind = "layout"
    exit_code = 12

    field: str
    """name of the field, with the image it is in: `kernel setup_header.boot_flag`"""
    offset: int
    """where the field starts, bytes from the start of the image"""
    found: str
    """the value found there, as text (numbers in hex)"""
    remedy: str
    """what the format wants, and what the operator can do"""

    def __str__(self) -> str:
        return f"{self.field} at offset {self.offset:#x} is {self.found}: {self.remedy}"


class PlacementError(HandoffError):
    """An image does not fit into the guest's memory map."""

    kind = "placement"
    exit_code = 13


@dataclass(eq=False)
class DoesNotFit(PlacementError):
    """The same where another memory size could help."""

    problem: str
    """what needs which range, and what is in the way"""
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}"


@dataclass(eq=False)
class DescriptorRefused(HandoffError):
    """A frame or descriptor is malformed; names the path of the field."""

    kind = "descriptor"
    exit_code = 14

    path: str
    """where in the frame: `images[1].digest`"""
    problem: str
    """what is wrong there, with value and bound"""

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


@dataclass(eq=False)
class DigestMismatch(HandoffError):
    """Bytes in guest RAM are not the bytes that were announced."""

    kind = "digest"
    exit_code = 15

    image: str
    where: str
    """guest physical range, as text"""
    expected: bytes
    found: bytes

    def __str__(self) -> str:
        return (
            f"{self.image} at {self.where} has digest {self.found.hex()[:16]}.., "
            f"announced {self.expected.hex()[:16]}..: its bytes were damaged, load it again"
        )


@dataclass(eq=False)
class StageTimeout(HandoffError):
    """A deadline passed while something was awaited."""

    kind = "timeout"
    exit_code = 16

    awaited: str
    """what should have happened, with the xenstore key or process that would show it"""
    seconds: float
    option: str = "--stage-timeout"
    """of the program that waited: allows more"""
    last_words: str = ""
    """of the device model, where it was waited for"""

    def __str__(self) -> str:
        heard = f" (its last words: {self.last_words})" if self.last_words else ""
        return (
            f"nothing after {self.seconds:g} s while waiting for {self.awaited}{heard}: "
            f"see the logs with --verbose, or allow more with {self.option}"
        )


class DeviceModelDied(HandoffError):
    """The device model ended before it had done its part."""

    kind = "device-model"
    exit_code = 17


class XenstoreUnavailable(HandoffError):
    """No xenstored answers, or it hung up."""

    kind = "xenstore"
    exit_code = 18


class RunDirectoryBusy(HandoffError):
    """Another toolstack works in the same run directory, or has a domain of the same uuid."""

    kind = "busy"
    exit_code = 19


class MachineError(HandoffError):
    """The machine that should run the guest is not there or did not start."""

    kind = "machine"
    exit_code = 20


class GuestTimeout(HandoffError):
    """The guest was started and did not end, or did not speak, in the time given."""

    kind = "guest-timeout"
    exit_code = 21


class GuestCrashed(HandoffError):
    """The guest ended otherwise than by powering off."""

    kind = "guest-crash"
    exit_code = 22


class MachineUnfit(HandoffError):
    """The guest needs a device that this machine does not have."""

    kind = "machine-unfit"
    exit_code = 23


class ConfinementFailed(HandoffError):
    """A layer of confinement that was demanded could not be put on."""

    kind = "sandbox"
    exit_code = 24


class PeerMisbehaved(HandoffError):
    """The other side's words do not fit the protocol: a state out of order, a false report."""

    kind = "peer"
    exit_code = 25


class Withdrawn(HandoffError):
    """The toolstack took the offer back before the device model was done."""

    kind = "withdrawn"
    exit_code = 26


class RamAccessError(HandoffError):
    """An access to guest RAM leaves what is RAM."""

    kind = "ram"
    exit_code = 27


class HypervisorError(HandoffError):
    """There is no hypervisor, or it refused what was asked of it."""

    kind = "hypervisor"
    exit_code = 28


class InternalError(HandoffError):
    """A fault of ours: what happened was not foreseen."""

    kind = "internal"
    exit_code = 70


ALL_ERRORS: tuple[type[HandoffError], ...] = (
    ConfigError,
    ImageError,
    LayoutError,
    PlacementError,
    DescriptorRefused,
    DigestMismatch,
    StageTimeout,
    DeviceModelDied,
    XenstoreUnavailable,
    RunDirectoryBusy,
    MachineError,
    GuestTimeout,
    GuestCrashed,
    MachineUnfit,
    ConfinementFailed,
    PeerMisbehaved,
    Withdrawn,
    RamAccessError,
    HypervisorError,
    InternalError,
)
"""All leaves of the family, in the order of their exit codes."""


class ReportedFailure(HandoffError):
    """What a device model wrote into its error node, as the toolstack raises it again.

    The words come from the stub domain and are untrusted: `kind` is matched against the
    closed set of ALL_ERRORS, the text is cut and made printable.
    """

    def __init__(self, line: str) -> None:
        kind, separator, text = printable(line, ERROR_LINE_MAX_BYTES).partition(": ")
        known = {error.kind: error for error in ALL_ERRORS}.get(kind)
        if known is None or not separator:
            known, text = PeerMisbehaved, f"the device model failed without a known reason: {line}"
        super().__init__(printable(text, ERROR_LINE_MAX_BYTES))
        self.error = known
        self.kind = known.kind  # type: ignore[misc]
        self.exit_code = known.exit_code  # type: ignore[misc]
