"""NUL-terminated strings, which nearly all payloads are made of."""

from typing import Final

from xenstore_sim.wire.errors import InvalidText

ENCODING: Final = "latin-1"
"""Every byte has a character, so a daemon can name what it refuses, whatever arrived."""


def terminated(*texts: str) -> bytes:
    """The texts, each followed by a NUL.

    Raises: InvalidText for one with a NUL of its own, which would arrive as two, and for one with
    a character that is no byte.
    """
    try:
        payload = "".join(f"{text}\0" for text in texts).encode(ENCODING)
    except UnicodeEncodeError as error:
        raise InvalidText(error.object.rstrip("\0")) from error
    if payload.count(0) != len(texts):
        raise InvalidText(payload[:-1].decode(ENCODING))
    return payload


def strings(payload: bytes) -> list[str]:
    """The NUL-terminated texts; bytes after the last NUL are left out."""
    return payload.decode(ENCODING).split("\0")[:-1]
