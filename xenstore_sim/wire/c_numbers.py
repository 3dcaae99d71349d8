"""Numbers as C's library reads them from text: clients rely on what it lets pass.

Source: ISO C, strtol and atoi; glibc on x86-64, where long has 64 bits and int 32.
"""

import re
from typing import Final

_DECIMAL: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_ANY_BASE: Final = re.compile(
    r"[ \t\n\v\f\r]*(?P<sign>[+-]?)"
    r"(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?P<oct>0[0-7]*)|(?P<dec>[1-9][0-9]*))"
)
_LONG_MAX: Final = 2**63 - 1
_U32: Final = 0xFFFF_FFFF


def atoi(text: str) -> int:
    """The int that atoi makes of the text: garbage is 0, large numbers wrap; signed 32 bits."""
    match = _DECIMAL.match(text)
    wrapped = _clamp(int(match[1])) & _U32 if match else 0
    return wrapped - 2**32 if wrapped > 2**31 - 1 else wrapped


def unsigned_atoi(text: str) -> int:
    """What atoi makes of the text, stored into a C unsigned int."""
    return atoi(text) & _U32


def whole_unsigned(text: str) -> int | None:
    """The whole text as a C number of any base, stored into an unsigned int; None: it is none."""
    match = _ANY_BASE.fullmatch(text)
    if match is None:
        return None
    if match["hex"]:
        magnitude = int(match["hex"], 16)
    else:
        magnitude = int(match["oct"], 8) if match["oct"] else int(match["dec"])
    return _clamp(-magnitude if match["sign"] == "-" else magnitude) & _U32


def _clamp(number: int) -> int:
    return max(-_LONG_MAX - 1, min(number, _LONG_MAX))
