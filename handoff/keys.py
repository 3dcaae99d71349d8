"""Every xenstore node of the handoff: its path, who writes it, who reads it, what it holds.

libxl's own nodes are kept to the letter (`target`, `dm-argv`, `device-model/T/state`); ours
sit beside them. S is the stub domain, T its target. Source: libxl, tools/libs/light.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final
from uuid import UUID

from handoff.descriptor import TABLES, Role
from handoff.errors import DescriptorRefused
from xenstore_sim.wire.names import DOM0, AbsolutePath, DomId, home
from xenstore_sim.wire.perms import Access, NodePerms, Perm

ROLES: Final = "kernel, ramdisk, module, firmware, bios, acpi or smbios"
NUMBERED_MAX: Final = 999
"""Most nodes of a numbered directory: names have three digits."""


@dataclass(frozen=True, slots=True)
class StoreWrite:
    """One node to write."""

    path: AbsolutePath
    value: bytes
    perms: NodePerms | None = None
    """set right after the value; None keeps what the node has or inherits"""


def private() -> NodePerms:
    """Dom0's alone: `n0`."""
    return NodePerms((Perm(DOM0, Access.NONE),))


def read_by(reader: DomId, owner: DomId = DOM0) -> NodePerms:
    """The owner's, and `reader` may read: `n<owner>,r<reader>`."""
    return NodePerms((Perm(owner, Access.NONE), Perm(reader, Access.READ)))


def owned_by(owner: DomId) -> NodePerms:
    """One domain's own: `n<owner>`."""
    return NodePerms((Perm(owner, Access.NONE),))


def child(directory: AbsolutePath, name: str) -> AbsolutePath:
    """The node `name`, or `name/below`, of `directory`."""
    return AbsolutePath(f"{directory}/{name}")


def numbered(directory: AbsolutePath, number: int) -> AbsolutePath:
    """Node `number` of a list as libxl numbers dm-argv: `001`, `002`, ..."""
    assert 1 <= number <= NUMBERED_MAX, number
    return child(directory, f"{number:03d}")


def numbered_nodes(directory: AbsolutePath, names: Iterable[str]) -> tuple[AbsolutePath, ...]:
    """The nodes of a numbered list in order, from the names DIRECTORY gave in any order.

    Raises: DescriptorRefused if a name is not a number, or one between is missing.
    """
    found = sorted(names)
    if len(found) > NUMBERED_MAX:
        raise DescriptorRefused(directory, f"{len(found)} nodes, at most {NUMBERED_MAX}")
    for number, name in enumerate(found, 1):
        if name != f"{number:03d}":
            raise DescriptorRefused(directory, f"holds {name[:20]!r} where {number:03d} must be")
    return tuple(numbered(directory, number) for number in range(1, len(found) + 1))


def vm_path(uuid: UUID) -> AbsolutePath:
    """`/vm/<uuid>`."""
    return AbsolutePath(f"/vm/{uuid}")


def dm_argv(uuid: UUID) -> AbsolutePath:
    """Directory of the device model's arguments, below the *target's* uuid."""
    return child(vm_path(uuid), "image/dm-argv")


@dataclass(frozen=True, slots=True)
class HandoffKeys:
    """The nodes of one attempt: stub domain `stubdom` prepares the boot of `target`."""

    stubdom: DomId
    target: DomId

    def __post_init__(self) -> None:
        assert self.stubdom != self.target, "a domain cannot be its own stub domain"

    @property
    def home(self) -> AbsolutePath:
        """Below it lies all that follows: S's own directory. A device model that is a process of
        dom0 has one for each target there: dom0's own has QEMU's `device-model/T`."""
        if self.stubdom == DOM0:
            return child(home(DOM0), f"direct-boot/{self.target}")
        return home(self.stubdom)

    # Written by dom0, readable by S alone.

    @property
    def offer(self) -> AbsolutePath:
        """Directory of all that dom0 tells S about the direct boot."""
        return child(self.home, "direct-boot")

    @property
    def version(self) -> AbsolutePath:
        return child(self.offer, "version")

    @property
    def carrier(self) -> AbsolutePath:
        return child(self.offer, "carrier")

    @property
    def frame(self) -> AbsolutePath:
        """Numbered list: the frame's chunks, carrier `xenstore`."""
        return child(self.offer, "frame")

    @property
    def frame_gpa(self) -> AbsolutePath:
        """Where the frame lies in guest RAM, carrier `memory`."""
        return child(self.offer, "frame-gpa")

    @property
    def frame_size(self) -> AbsolutePath:
        return child(self.offer, "frame-size")

    def image(self, number: int, fact: ImageFact) -> AbsolutePath:
        """One fact of image `number`, counted from 0, for people who read xenstore."""
        return child(self.offer, f"images/{number}/{fact.value}")

    @property
    def offer_state(self) -> AbsolutePath:
        """What S watches; written last."""
        return child(self.offer, "state")

    @property
    def offer_perms(self) -> NodePerms:
        """Permissions of dom0's nodes: `n0,rS`."""
        return read_by(self.stubdom)

    # Written by S, below the one directory that dom0 gives it.

    @property
    def device_model(self) -> AbsolutePath:
        """libxl's directory for S's answers about T, made by dom0."""
        return child(self.home, f"device-model/{self.target}")

    @property
    def device_model_perms(self) -> NodePerms:
        """`nS,rT`, as libxl sets it; what S makes below inherits it."""
        return read_by(self.target, owner=self.stubdom)

    @property
    def answer(self) -> AbsolutePath:
        """Directory of all that S tells dom0 about the direct boot."""
        return child(self.device_model, "direct-boot")

    @property
    def answer_state(self) -> AbsolutePath:
        """What dom0 watches."""
        return child(self.answer, "state")

    @property
    def error(self) -> AbsolutePath:
        return child(self.answer, "error")

    @property
    def report(self) -> AbsolutePath:
        """Numbered list: the chunks of the report frame."""
        return child(self.answer, "report")

    @property
    def running(self) -> AbsolutePath:
        """libxl's readiness node; its only word is `running`."""
        return child(self.device_model, "state")

    # libxl's, read by S.

    @property
    def target_node(self) -> AbsolutePath:
        """T's domid, by which a domain is known as a stub domain; dom0 has none."""
        return child(home(self.stubdom), "target")

    @property
    def bios(self) -> AbsolutePath:
        """Which firmware hvmloader shall start."""
        return child(home(self.target), "hvmloader/bios")

    def tables(self, role: Role, fact: TablesFact) -> AbsolutePath:
        """What hvmloader is told of tables that were handed over."""
        return child(home(self.target), f"hvmloader/{role.value}/{fact.value}")


class ImageFact(Enum):
    """What `images/<n>/` tells people about one image."""

    ROLE = "role"
    GPA = "gpa"
    SIZE = "size"
    DIGEST = "digest"


class TablesFact(Enum):
    """Of ACPI tables or SMBIOS structures. Source: hvm_xs_strings.h in Xen."""

    ADDRESS = "address"
    LENGTH = "length"


class Party(Enum):
    DOM0 = "dom0"
    STUBDOM = "S"
    PEOPLE = "people"
    HVMLOADER = "hvmloader"


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One line of the table of nodes."""

    path: AbsolutePath
    writer: Party
    reader: Party
    value: str
    """the form of what it holds"""
    perms: NodePerms


def key_table(keys: HandoffKeys, target_uuid: UUID) -> Sequence[KeyRow]:
    """Every node of one attempt, in the order it is first written."""
    dom0, stubdom = Party.DOM0, Party.STUBDOM
    offer, answer = keys.offer_perms, keys.device_model_perms

    def told(path: AbsolutePath, value: str, reader: Party = stubdom) -> KeyRow:
        return KeyRow(path, dom0, reader, value, offer)

    def answered(path: AbsolutePath, value: str) -> KeyRow:
        return KeyRow(path, stubdom, dom0, value, answer)

    return (
        told(numbered(dm_argv(target_uuid), 1), "one argument of the device model"),
        told(keys.target_node, "decimal domid of T"),
        KeyRow(keys.bios, dom0, Party.HVMLOADER, "seabios or ovmf", read_by(keys.target)),
        told(keys.version, "decimal protocol version, 1"),
        told(keys.carrier, "xenstore, memory or cmdline"),
        told(numbered(keys.frame, 1), "at most 1900 characters of the frame in base64"),
        told(keys.frame_gpa, "address of the frame in guest RAM, 0x and hexadecimal"),
        told(keys.frame_size, "its size in bytes, decimal"),
        told(keys.image(0, ImageFact.ROLE), ROLES, Party.PEOPLE),
        told(keys.image(0, ImageFact.GPA), "0x and hexadecimal", Party.PEOPLE),
        told(keys.image(0, ImageFact.SIZE), "bytes, decimal", Party.PEOPLE),
        told(keys.image(0, ImageFact.DIGEST), "BLAKE3, hexadecimal", Party.PEOPLE),
        told(keys.offer_state, "<generation> published or withdrawn"),
        answered(keys.answer_state, "<generation> <stage>"),
        answered(keys.error, "<kind>: <text>, one line, before state is failed"),
        answered(numbered(keys.report, 1), "at most 1900 characters of the frame in base64"),
        *(
            KeyRow(keys.tables(role, fact), dom0, Party.HVMLOADER, value, read_by(keys.target))
            for role in TABLES
            for fact, value in (
                (TablesFact.ADDRESS, f"where the {role.value} tables lie, 0x and hexadecimal"),
                (TablesFact.LENGTH, "their bytes, 0x and hexadecimal"),
            )
        ),
        answered(keys.running, "running"),
    )
