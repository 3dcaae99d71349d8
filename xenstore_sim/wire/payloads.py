"""Messages to payload bytes and back: which op wants how many NULs, and what it lets pass.

Source: docs/misc/xenstore.txt, and what C xenstored does where that is silent.
"""

from collections.abc import Callable
from typing import Final

from xenstore_sim.wire import messages as m
from xenstore_sim.wire.c_numbers import atoi, unsigned_atoi, whole_unsigned
from xenstore_sim.wire.compat import Compat
from xenstore_sim.wire.errors import InvalidPerms, ProtocolViolation, Refusal
from xenstore_sim.wire.layout import PAYLOAD_MAX
from xenstore_sim.wire.names import DomId, Token
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.perms import Access, NodePerms, Perm
from xenstore_sim.wire.strings import ENCODING, strings, terminated

_DOMID_MAX: Final = 65535
OK: Final = b"OK\0"
"""What most requests are answered with."""


# ---------------------------------------------------------------- requests, as a daemon reads them


def decode_request(op: Op, payload: bytes, compat: Compat) -> m.Request:
    """The request in this payload. Raises: Refusal, EINVAL, when the op does not take its form."""
    return _DECODERS[op](payload, compat)


def perms_of(entries: tuple[str, ...]) -> NodePerms:
    """The list that SET_PERMS wrote: a letter and a number of any C base in each entry.

    Raises: Refusal, EINVAL.
    """
    perms = []
    for entry in entries:
        number = whole_unsigned(entry[1:])
        if number is None or entry[0] not in "nrwb":
            raise Refusal(Errno.EINVAL)
        perms.append(Perm(DomId(number), Access(entry[0])))
    return NodePerms(tuple(perms))


def _one_string(payload: bytes) -> str:
    """The only string: exactly one NUL, and it is the last byte."""
    if payload.find(0) != len(payload) - 1 or not payload:
        raise Refusal(Errno.EINVAL)
    return payload[:-1].decode(ENCODING)


def _want(condition: bool) -> None:
    if not condition:
        raise Refusal(Errno.EINVAL)


def _domid(text: str, compat: Compat) -> DomId:
    if not compat.strict_domids:
        return DomId(unsigned_atoi(text))
    _want(not text or (text.isascii() and text.isdigit()))
    domid = int(text or "0")
    _want(domid <= _DOMID_MAX)
    return DomId(domid)


def _path_decoder(make: type[m.PathRequest]) -> "_Decode":
    return lambda payload, compat: make(_one_string(payload))


def _domain_decoder(make: type[m.DomainRequest]) -> "_Decode":
    return lambda payload, compat: make(_domid(_one_string(payload), compat))


def _directory_part(payload: bytes, compat: Compat) -> m.Request:
    texts = strings(payload)
    _want(len(texts) == 2)
    return m.DirectoryPart(texts[0], unsigned_atoi(texts[1]))


def _write(payload: bytes, compat: Compat) -> m.Request:
    path, nul, value = payload.partition(b"\0")
    _want(bool(nul))
    return m.Write(path.decode(ENCODING), value)


def _set_perms(payload: bytes, compat: Compat) -> m.Request:
    path, *entries = strings(payload) or [""]
    _want(bool(entries))
    return m.SetPerms(path, tuple(entries))


def _watch(payload: bytes, compat: Compat) -> m.Request:
    texts = strings(payload)
    _want(len(texts) in ((2, 3) if compat.watch_depth else (2,)))
    path, token, *depth = texts
    levels = atoi(depth[0]) if depth else None
    _want(levels is None or levels >= 0)
    return m.Watch(path, _token(token), levels)


def _unwatch(payload: bytes, compat: Compat) -> m.Request:
    texts = strings(payload)
    _want(len(texts) == 2)
    return m.Unwatch(texts[0], _token(texts[1]))


def _token(text: str) -> Token:
    return Token(text.encode(ENCODING))


def _transaction_end(payload: bytes, compat: Compat) -> m.Request:
    _want(payload in (b"T\0", b"F\0"))
    return m.TransactionEnd(commit=payload == b"T\0")


def _introduce(payload: bytes, compat: Compat) -> m.Request:
    texts = strings(payload)
    _want(len(texts) >= 3)
    return m.Introduce(_domid(texts[0], compat), unsigned_atoi(texts[1]), atoi(texts[2]))


def _set_target(payload: bytes, compat: Compat) -> m.Request:
    texts = strings(payload)
    _want(len(texts) >= 2)
    return m.SetTarget(_domid(texts[0], compat), _domid(texts[1], compat))


def _control(payload: bytes, compat: Compat) -> m.Request:
    args = strings(payload)
    _want(bool(args))
    return m.Control(tuple(args))


def _get_feature(payload: bytes, compat: Compat) -> m.Request:
    return m.GetFeature(_domid(_one_string(payload), compat) if payload else None)


def _set_feature(payload: bytes, compat: Compat) -> m.Request:
    texts = strings(payload)
    _want(len(texts) == 2)
    return m.SetFeature(_domid(texts[0], compat), unsigned_atoi(texts[1]))


def _get_quota(payload: bytes, compat: Compat) -> m.Request:
    texts = strings(payload)
    _want(len(texts) <= 2 and payload[-1:] in (b"", b"\0"))
    domid = _domid(texts[0], compat) if len(texts) == 2 else None
    return m.GetQuota(domid, texts[-1] if texts else None)


def _set_quota(payload: bytes, compat: Compat) -> m.Request:
    texts = strings(payload)
    _want(len(texts) in (2, 3))
    domid = _domid(texts[0], compat) if len(texts) == 3 else None
    value = whole_unsigned(texts[-1])
    if value is None:
        raise Refusal(Errno.EINVAL)
    return m.SetQuota(domid, texts[-2], value)


_Decode = Callable[[bytes, Compat], m.Request]
_DECODERS: Final[dict[Op, _Decode]] = {
    **{op.op: _path_decoder(op) for op in (m.Directory, m.Read, m.GetPerms, m.Mkdir, m.Rm)},
    **{
        op.op: _domain_decoder(op)
        for op in (m.Release, m.GetDomainPath, m.IsDomainIntroduced, m.Resume)
    },
    Op.DIRECTORY_PART: _directory_part,
    Op.WRITE: _write,
    Op.SET_PERMS: _set_perms,
    Op.WATCH: _watch,
    Op.UNWATCH: _unwatch,
    Op.TRANSACTION_START: lambda payload, compat: m.TransactionStart(),
    Op.TRANSACTION_END: _transaction_end,
    Op.RESET_WATCHES: lambda payload, compat: m.ResetWatches(),
    Op.INTRODUCE: _introduce,
    Op.SET_TARGET: _set_target,
    Op.CONTROL: _control,
    Op.GET_FEATURE: _get_feature,
    Op.SET_FEATURE: _set_feature,
    Op.GET_QUOTA: _get_quota,
    Op.SET_QUOTA: _set_quota,
}


# ---------------------------------------------------------------- requests, as a client writes them


def encode_request(request: m.Request) -> bytes:
    """The payload of this request; its op stands in the header."""
    match request:
        case m.PathRequest(path):
            return terminated(path)
        case m.Write(path, value):
            return terminated(path) + value
        case m.Watch(path, token, depth):
            return (
                terminated(path)
                + token
                + b"\0"
                + (b"" if depth is None else terminated(str(depth)))
            )
        case m.Unwatch(path, token):
            return terminated(path) + token + b"\0"
        case m.TransactionStart() | m.ResetWatches():
            return b"\0"
        case m.TransactionEnd(commit):
            return b"T\0" if commit else b"F\0"
        case m.SetPerms(path, entries):
            return terminated(path, *entries)
        case m.DirectoryPart(path, offset):
            return terminated(path, str(offset))
        case m.DomainRequest(domid):
            return terminated(str(domid))
        case m.Introduce(domid, gfn, port):
            return terminated(str(domid), str(gfn), str(port))
        case m.SetTarget(domid, target):
            return terminated(str(domid), str(target))
        case m.Control(args):
            return terminated(*args)
        case m.GetFeature(None):
            return b""
        case m.GetFeature(known):
            return terminated(str(known))
        case m.SetFeature(domid, bits):
            return terminated(str(domid), str(bits))
        case m.GetQuota(scope, name):
            return terminated(*(str(part) for part in (scope, name) if part is not None))
    scopes = () if request.domid is None else (str(request.domid),)
    return terminated(*scopes, request.name, str(request.value))


# ---------------------------------------------------------------- replies and events


def encode_reply(reply: m.Reply) -> bytes:
    """The payload of this reply; above PAYLOAD_MAX bytes the daemon has to answer E2BIG."""
    match reply:
        case m.Ok():
            return OK
        case m.Value(value):
            return value
        case m.ErrorReply(errno):
            return terminated(errno)
        case m.Listing(children):
            return children
        case m.Text(text):
            return terminated(text)
        case m.PermsReply(perms):
            return terminated(*map(str, perms.entries))
    return terminated(reply.generation) + reply.children + (b"\0" if reply.last else b"")


def decode_reply(op: Op, payload: bytes) -> m.Reply:
    """What the daemon answered to this op. Raises: ProtocolViolation."""
    match op:
        case Op.READ:
            return m.Value(payload)
        case Op.DIRECTORY:
            return m.Listing(payload)
        case Op.DIRECTORY_PART:
            return _listing_part(payload)
        case Op.GET_PERMS:
            return m.PermsReply(_listed_perms(payload))
        case op if op in _TEXT_REPLIES:
            return m.Text(payload.rstrip(b"\0").decode(ENCODING))
    if payload != OK:
        raise ProtocolViolation(f"the answer to {op.name} is {payload[:32]!r}, expected {OK!r}")
    return m.Ok()


def decode_error(payload: bytes) -> m.ErrorReply:
    """The errno of an ERROR message; EINVAL for names we do not know, as libxenstore takes them."""
    name = payload.rstrip(b"\0").decode(ENCODING)
    return m.ErrorReply(Errno(name) if name in Errno.__members__ else Errno.EINVAL)


def encode_event(event: m.WatchEvent) -> bytes:
    """The payload of a WATCH_EVENT."""
    return terminated(event.path) + event.token + b"\0"


def decode_event(payload: bytes) -> m.WatchEvent:
    """The event in a WATCH_EVENT. Raises: ProtocolViolation."""
    path, _, rest = payload.partition(b"\0")
    if not rest.endswith(b"\0"):
        raise ProtocolViolation(f"a watch event holds {payload[:32]!r}, not a path and a token")
    return m.WatchEvent(path.decode(ENCODING), Token(rest[:-1].split(b"\0")[0]))


_TEXT_REPLIES: Final = frozenset(
    {
        Op.TRANSACTION_START,
        Op.GET_DOMAIN_PATH,
        Op.IS_DOMAIN_INTRODUCED,
        Op.CONTROL,
        Op.GET_FEATURE,
        Op.GET_QUOTA,
    }
)


def _listing_part(payload: bytes) -> m.ListingPart:
    generation, nul, names = payload.partition(b"\0")
    if not nul or len(payload) > PAYLOAD_MAX:
        raise ProtocolViolation(f"a partial listing begins with {payload[:32]!r}, no generation")
    # The last portion has one NUL more; an empty portion can only be the last.
    last = names == b"\0" or names.endswith(b"\0\0") or not names
    return m.ListingPart(generation.decode(ENCODING), names[:-1] if names and last else names, last)


def _listed_perms(payload: bytes) -> NodePerms:
    try:
        return NodePerms.of(*strings(payload))
    except InvalidPerms as error:
        raise ProtocolViolation(f"GET_PERMS was answered with {payload[:32]!r}") from error
