"""The requests that conversations are made of: few names, so that they meet. Simple ones first,
for that is the direction in which Hypothesis shrinks."""

from collections.abc import Iterable
from itertools import product

from tests.differential.steps import Request
from xenstore_sim.wire.ops import Op

PATHS = (
    "/a",
    "/a/b",
    "/a/b/c",
    "/c",
    "x",
    "x/y",
    "/local/domain/1",
    "/local/domain/1/x",
    "/local/domain/2",
    "/local/domain/2/x",
    "/local/domain/2/x/y",
    "/local/domain/3",
    "/local/domain",
    "/tool",
    "/",
)
SPECIAL = ("@releaseDomain", "@introduceDomain", "@other", "@", "@releaseDomain/1")
BAD_PATHS = ("", "/a/", "//", "/a//b", "a b", "/a.", "x/", "/" + "p" * 2047, "/" + "p" * 2048)
VALUES = (b"", b"v", b"w", b"\0", b"n" * 1900, b"n" * 2015, b"n" * 2016, b"n" * 2040)
PERMS = (
    ("n0",),
    ("n1",),
    ("n2",),
    ("n0", "r1"),
    ("n0", "w1"),
    ("n0", "b1"),
    ("b0",),
    ("r0", "n1"),
    ("n1", "b2"),
    ("n2", "r1"),
    ("b2", "n1"),
    ("n3",),
    ("n0", "r3"),
    ("n0", "b3"),
    ("n9",),
    ("n0", "r9"),
    ("n0", "r1", "r2"),
    ("n0", "r1", "r1", "w1"),
    ("n0", "r1", "r2", "r3", "r4", "r5"),
)
BAD_PERMS = (("",), ("x0",), ("n",), ("n0", ""), ("n-1",), ("n0x1",), ("n0x",), ("N0",), ("n0 ",))
TOKENS = ("t", "u", "")
DOMID_TEXTS = (
    "1",
    "2",
    "3",
    "0",
    "9",
    "",
    "x",
    "01",
    " 1",
    "-1",
    "1x",
    "32752",
    "65537",
    "99999999999",
)
CONTROLS = (
    ("check",),
    ("help",),
    ("quota",),
    ("quota-soft",),
    ("quota", "1"),
    ("quota", "0"),
    ("quota", "9"),
    ("quota", "x"),
    ("quota", "max"),
    ("quota", "set", "nodes", "3"),
    ("quota", "set", "watches", "2"),
    ("quota", "set", "transactions", "1"),
    ("quota", "set", "permissions", "2"),
    ("quota", "set", "transaction-nodes", "2"),
    ("quota", "set", "outstanding", "3"),
    ("quota", "set", "nonsense", "3"),
    ("quota", "set", "nodes", "0"),
    ("quota", "set", "nodes", "-1"),
    ("quota", "set", "nodes", "3x"),
    ("quota", "set", "nodes"),
    ("quota", "set", "path-max", "20"),
    ("quota-soft", "set", "memory", "5"),
    ("quota-soft", "set", "nodes", "5"),
    ("print", "x"),
    ("print",),
    ("print", "x", "y"),
    ("log", "on"),
    ("log", "off"),
    ("log",),
    ("log", "x"),
    ("nonsense",),
    ("",),
    ("help", "x"),
    ("check", "x"),
)
CHILDREN = tuple(f"{parent}/{'n' * 220}-{number}" for parent in ("/c", "x") for number in range(20))
"""Names to make a listing longer than a message, and a node larger than its quota."""


def _strings(*parts: str | bytes) -> bytes:
    return b"".join((each.encode() if isinstance(each, str) else each) + b"\0" for each in parts)


def _malformed(well_formed: bytes) -> tuple[bytes, ...]:
    return (b"", b"\0", well_formed[:-1], well_formed + b"x", well_formed + b"\0", b"\0\0\0\0")


def _requests(op: Op, payloads: Iterable[bytes]) -> tuple[Request, ...]:
    made = tuple(Request(op, payload) for payload in payloads)
    return made + tuple(Request(op, payload) for payload in _malformed(made[0].payload))


ALL_PATHS = PATHS + SPECIAL + BAD_PATHS
ONE_PATH = tuple(_strings(path) for path in ALL_PATHS)
WATCHES = tuple(_strings(path, token) for token, path in product(TOKENS, ALL_PATHS))
OF_DOMAINS = tuple(map(_strings, DOMID_TEXTS))

BY_OP: dict[Op, tuple[Request, ...]] = {
    Op.READ: _requests(Op.READ, ONE_PATH),
    Op.DIRECTORY: _requests(Op.DIRECTORY, ONE_PATH),
    Op.DIRECTORY_PART: _requests(
        Op.DIRECTORY_PART,
        (
            *(_strings(path, at) for at, path in product(("0", "1", "5000"), ALL_PATHS)),
            *(_strings("/c", at) for at in ("", "x", "-1", "65", "4000", "99999999999")),
        ),
    ),
    Op.GET_PERMS: _requests(Op.GET_PERMS, ONE_PATH),
    Op.WRITE: _requests(
        Op.WRITE,
        (
            *(_strings(path) + value for value, path in product(VALUES[:2], PATHS)),
            *(_strings(path) + value for value, path in product(VALUES[2:], PATHS[:6])),
            *(_strings(path) for path in SPECIAL + BAD_PATHS),
        ),
    ),
    Op.MKDIR: _requests(Op.MKDIR, ONE_PATH + tuple(map(_strings, CHILDREN))),
    Op.RM: _requests(Op.RM, ONE_PATH),
    Op.SET_PERMS: _requests(
        Op.SET_PERMS,
        (
            *(_strings(path, *perms) for perms, path in product(PERMS, PATHS[:-1] + SPECIAL)),
            *(_strings("/", *perms) for perms in PERMS if perms[0] == "n0" or perms[0] == "b0"),
            *(_strings(path, *perms) for path, perms in product(("/a", "x"), BAD_PERMS)),
            *(_strings(path, "n0") for path in BAD_PATHS),
            *(_strings(path) for path in PATHS),
        ),
    ),
    Op.WATCH: _requests(Op.WATCH, (*WATCHES, _strings("/a", "t", "1"), _strings("/a", "t" * 4000))),
    Op.UNWATCH: _requests(Op.UNWATCH, WATCHES),
    Op.TRANSACTION_START: _requests(Op.TRANSACTION_START, (b"\0",)),
    Op.TRANSACTION_END: _requests(
        Op.TRANSACTION_END, (b"T\0", b"F\0", b"T\0", b"F\0", b"X\0", b"TT\0", b"T\0T\0")
    ),
    Op.RESET_WATCHES: _requests(Op.RESET_WATCHES, (b"\0",)),
    Op.GET_DOMAIN_PATH: _requests(Op.GET_DOMAIN_PATH, OF_DOMAINS),
    Op.IS_DOMAIN_INTRODUCED: _requests(Op.IS_DOMAIN_INTRODUCED, OF_DOMAINS),
    Op.RELEASE: _requests(Op.RELEASE, OF_DOMAINS),
    Op.RESUME: _requests(Op.RESUME, OF_DOMAINS),
    Op.SET_TARGET: _requests(
        Op.SET_TARGET,
        (
            *(_strings(*pair) for pair in product(DOMID_TEXTS[:5], repeat=2)),
            _strings("2", "1", "x"),
            _strings("x", "1"),
        ),
    ),
    Op.INTRODUCE: _requests(
        Op.INTRODUCE,
        (
            _strings("9", "1", "5"),
            _strings("1", "1", "0"),
            _strings("1", "1"),
            _strings("9", "1", "0"),
            _strings("0", "1", "1"),
        ),
    ),
    Op.CONTROL: _requests(Op.CONTROL, (_strings(*each) for each in CONTROLS)),
}
MANY_CHILDREN = tuple(Request(Op.MKDIR, _strings(path)) for path in CHILDREN)
UNKNOWN = tuple(
    Request(type_, payload)
    for type_, payload in product(
        (15, 16, 20, 23, 24, 25, 26, 27, 99, 65535, 2**32 - 1), (b"", b"/a\0")
    )
)
_OFTEN = (
    (Op.WRITE, 6),
    (Op.READ, 3),
    (Op.WATCH, 5),
    (Op.SET_PERMS, 5),
    (Op.RM, 4),
    (Op.MKDIR, 3),
    (Op.DIRECTORY, 2),
    (Op.GET_PERMS, 2),
    (Op.TRANSACTION_START, 5),
    (Op.TRANSACTION_END, 5),
    (Op.UNWATCH, 2),
    (Op.DIRECTORY_PART, 1),
    (Op.RESET_WATCHES, 1),
    (Op.GET_DOMAIN_PATH, 1),
    (Op.IS_DOMAIN_INTRODUCED, 1),
    (Op.RELEASE, 2),
    (Op.RESUME, 1),
    (Op.SET_TARGET, 2),
    (Op.INTRODUCE, 1),
    (Op.CONTROL, 2),
)
GROUPS = (*(BY_OP[op] for op, times in _OFTEN for _ in range(times)), UNKNOWN)
"""Lists of requests; one is drawn of these, and of that a request."""
_FEW_PATHS = (b"/a", b"/a/b", b"/a/b/c")
_FEW_OPS = (Op.WRITE, Op.RM, Op.MKDIR, Op.SET_PERMS, Op.WATCH, Op.READ, Op.DIRECTORY, Op.GET_PERMS)
ONE_SUBTREE = (
    *(
        tuple(
            request
            for request in BY_OP[op]
            if request.payload.split(b"\0")[0] in _FEW_PATHS and len(request.payload) < 60
        )
        for op in _FEW_OPS
    ),
    *((Request(Op.TRANSACTION_START, b"\0"),) for _ in range(2)),
    *((Request(Op.TRANSACTION_END, b"T\0"),) for _ in range(2)),
)
"""The same of three nodes alone: transactions, watches and permissions that meet."""
