"""What things are called on the wire: domids, ids of transactions and requests, paths, tokens.

Source: xen/include/public/io/xs_wire.h, docs/misc/xenstore.txt.
"""

import re
from typing import Final, NewType

from xenstore_sim.wire.errors import InvalidPath

DomId = NewType("DomId", int)
TxId = NewType("TxId", int)
ReqId = NewType("ReqId", int)
Token = NewType("Token", bytes)
"""A watch's token: any bytes but NUL, chosen by the client and echoed in each event."""

AbsolutePath = NewType("AbsolutePath", str)
"""`/` or `/a/b`: no trailing and no double slash."""
RelativePath = NewType("RelativePath", str)
"""`a/b`: below the home of the connection's domain."""
SpecialPath = NewType("SpecialPath", str)
"""`@introduceDomain` and its kind: has permissions and can be watched, nothing else."""
NodePath = AbsolutePath | SpecialPath
"""What the store keeps nodes under."""

DOM0: Final = DomId(0)
DOMID_SELF: Final = DomId(0x7FF0)
"""The first reserved domid: those of real domains are below it."""
DOMID_ANY: Final = DomId(0x7FF5)
NO_TX: Final = TxId(0)

ROOT: Final = AbsolutePath("/")
INTRODUCE_DOMAIN: Final = SpecialPath("@introduceDomain")
RELEASE_DOMAIN: Final = SpecialPath("@releaseDomain")

_NAME: Final = r"[A-Za-z0-9_@-]+"
_ABSOLUTE: Final = re.compile(rf"/(?:{_NAME}(?:/{_NAME})*)?")
_RELATIVE: Final = re.compile(rf"(?!@){_NAME}(?:/{_NAME})*")
_SPECIAL: Final = re.compile(rf"@[A-Za-z0-9_@-]*(?:/{_NAME})*")
_HOME_PREFIX: Final = re.compile(r"/local/domain/[0-9]{1,5}/")
_ALPHABET: Final = "names hold A-Z a-z 0-9 - _ @ and are separated by single slashes"


def absolute_path(text: str) -> AbsolutePath:
    """The text as an absolute path. Raises: InvalidPath."""
    if _ABSOLUTE.fullmatch(text) is None:
        raise InvalidPath(text, f"it must start with a slash, not end with one; {_ALPHABET}")
    return AbsolutePath(text)


def relative_path(text: str) -> RelativePath:
    """The text as a relative path. Raises: InvalidPath."""
    if _RELATIVE.fullmatch(text) is None:
        raise InvalidPath(text, f"it must neither start nor end with a slash; {_ALPHABET}")
    return RelativePath(text)


def special_path(text: str) -> SpecialPath:
    """The text as a special path. Raises: InvalidPath."""
    if _SPECIAL.fullmatch(text) is None:
        raise InvalidPath(text, f"it must start with @, not end with a slash; {_ALPHABET}")
    return SpecialPath(text)


def resolve(text: str, domid: DomId) -> NodePath:
    """The node that a client of this domain means. Raises: InvalidPath."""
    if text.startswith("/"):
        return absolute_path(text)
    if text.startswith("@"):
        return special_path(text)
    return absolute_path(f"{home(domid)}/{text}")


def home(domid: int) -> AbsolutePath:
    """Where relative paths of this domain begin: `/local/domain/N`."""
    return AbsolutePath(f"/local/domain/{domid}")


def child(parent: AbsolutePath, name: str) -> AbsolutePath:
    """The path of a direct child. name: one component, taken as checked."""
    return AbsolutePath(f"/{name}" if parent == ROOT else f"{parent}/{name}")


def parent(path: NodePath) -> AbsolutePath:
    """The path one component up; the root is its own parent and that of special nodes."""
    return AbsolutePath(path.rpartition("/")[0] or "/")


def base_name(path: AbsolutePath) -> str:
    """The last component."""
    return path.rpartition("/")[2]


def quota_length(path: NodePath) -> int:
    """The path's length in bytes as the path quota counts it: without a home prefix."""
    prefix = _HOME_PREFIX.match(path)
    return len(path) - (prefix.end() if prefix else 0)
