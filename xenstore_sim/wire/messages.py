"""One class for each request and reply, holding what the client wrote, not yet judged.

Paths are the texts of the payload: whether they name a node is for the daemon to say.
Source: docs/misc/xenstore.txt.
"""

from dataclasses import dataclass
from typing import ClassVar

from xenstore_sim.wire.names import DomId, Token
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.perms import NodePerms


@dataclass(frozen=True, slots=True)
class PathRequest:
    """A request about one node."""

    op: ClassVar[Op]
    path: str


class Directory(PathRequest):
    """Names of the node's children."""

    __slots__ = ()
    op = Op.DIRECTORY


class Read(PathRequest):
    """The node's value."""

    __slots__ = ()
    op = Op.READ


class GetPerms(PathRequest):
    """The node's permission list."""

    __slots__ = ()
    op = Op.GET_PERMS


class Mkdir(PathRequest):
    """Make sure that the node exists."""

    __slots__ = ()
    op = Op.MKDIR


class Rm(PathRequest):
    """Remove the node and all below it."""

    __slots__ = ()
    op = Op.RM


@dataclass(frozen=True, slots=True)
class DirectoryPart:
    """Names of the children from a byte offset of the whole list on."""

    op: ClassVar[Op] = Op.DIRECTORY_PART
    path: str
    offset: int


@dataclass(frozen=True, slots=True)
class Write:
    """Set the node's value; make it if need be."""

    op: ClassVar[Op] = Op.WRITE
    path: str
    value: bytes


@dataclass(frozen=True, slots=True)
class SetPerms:
    """Set the node's permission list."""

    op: ClassVar[Op] = Op.SET_PERMS
    path: str
    entries: tuple[str, ...]
    """As written; numbers in any base that C knows."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Tell me of changes at and below this path."""

    op: ClassVar[Op] = Op.WATCH
    path: str
    token: Token
    depth: int | None = None
    """Levels below the path that matter; None: all."""


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Tell me no more."""

    op: ClassVar[Op] = Op.UNWATCH
    path: str
    token: Token


@dataclass(frozen=True, slots=True)
class TransactionStart:
    """Give me a transaction id."""

    op: ClassVar[Op] = Op.TRANSACTION_START


@dataclass(frozen=True, slots=True)
class TransactionEnd:
    """Commit the transaction of the header, or drop it."""

    op: ClassVar[Op] = Op.TRANSACTION_END
    commit: bool


@dataclass(frozen=True, slots=True)
class ResetWatches:
    """Drop all my watches and transactions."""

    op: ClassVar[Op] = Op.RESET_WATCHES


@dataclass(frozen=True, slots=True)
class DomainRequest:
    """A request about one domain."""

    op: ClassVar[Op]
    domid: DomId


class Release(DomainRequest):
    """The domain is no more."""

    __slots__ = ()
    op = Op.RELEASE


class GetDomainPath(DomainRequest):
    """The domain's home directory."""

    __slots__ = ()
    op = Op.GET_DOMAIN_PATH


class IsDomainIntroduced(DomainRequest):
    """Whether the daemon serves the domain."""

    __slots__ = ()
    op = Op.IS_DOMAIN_INTRODUCED


class Resume(DomainRequest):
    """The domain runs again after a shutdown (suspend)."""

    __slots__ = ()
    op = Op.RESUME


@dataclass(frozen=True, slots=True)
class Introduce:
    """Serve this domain from now on."""

    op: ClassVar[Op] = Op.INTRODUCE
    domid: DomId
    gfn: int
    port: int


@dataclass(frozen=True, slots=True)
class SetTarget:
    """Let the domain act as its target too."""

    op: ClassVar[Op] = Op.SET_TARGET
    domid: DomId
    target: DomId


@dataclass(frozen=True, slots=True)
class Control:
    """A command to the daemon itself."""

    op: ClassVar[Op] = Op.CONTROL
    args: tuple[str, ...]
    """The command and its arguments; at least one."""


@dataclass(frozen=True, slots=True)
class GetFeature:
    """Feature bits of the daemon, or those a domain is offered."""

    op: ClassVar[Op] = Op.GET_FEATURE
    domid: DomId | None = None


@dataclass(frozen=True, slots=True)
class SetFeature:
    """Feature bits that a domain shall be offered."""

    op: ClassVar[Op] = Op.SET_FEATURE
    domid: DomId
    value: int


@dataclass(frozen=True, slots=True)
class GetQuota:
    """Names of all quotas; with a name its value, the default or the domain's."""

    op: ClassVar[Op] = Op.GET_QUOTA
    domid: DomId | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SetQuota:
    """Set a quota, the default or the domain's; 0 means no bound."""

    op: ClassVar[Op] = Op.SET_QUOTA
    domid: DomId | None
    name: str
    value: int


Request = (
    PathRequest
    | DirectoryPart
    | Write
    | SetPerms
    | Watch
    | Unwatch
    | TransactionStart
    | TransactionEnd
    | ResetWatches
    | DomainRequest
    | Introduce
    | SetTarget
    | Control
    | GetFeature
    | SetFeature
    | GetQuota
    | SetQuota
)


@dataclass(frozen=True, slots=True)
class Ok:
    """Done."""


@dataclass(frozen=True, slots=True)
class Value:
    """A node's value: any bytes."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """Names of children, each followed by its NUL, as a node keeps and the wire carries them."""

    children: bytes


@dataclass(frozen=True, slots=True)
class ListingPart:
    """A portion of a listing, cut at a name."""

    generation: str
    """Another text than before: the directory changed in between, begin again."""
    children: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class PermsReply:
    """A node's permission list."""

    perms: NodePerms


@dataclass(frozen=True, slots=True)
class Text:
    """An answer for people or a number."""

    text: str


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """Refused."""

    errno: Errno


Reply = Ok | Value | Listing | ListingPart | PermsReply | Text | ErrorReply


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """Something changed at this path; sent unasked."""

    path: str
    token: Token
