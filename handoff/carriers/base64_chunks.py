"""A frame as numbered pieces of printable text, each short enough for one xenstore value.

Source: docs/misc/xenstore.txt (values are meant to be 7-bit text); 2048 bytes is the default
quota of an unprivileged domain's node, permissions and bookkeeping included.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from handoff.errors import DescriptorRefused
from handoff.frame import FRAME_MAX_BYTES

CHUNK_CHARS = 1900
CHUNKS_MAX = -(-(-(-FRAME_MAX_BYTES // 3) * 4) // CHUNK_CHARS)
"""Most chunks a legal frame can need."""


def split(frame: bytes) -> tuple[str, ...]:
    """`frame` as base64 text in chunks of CHUNK_CHARS, the last one shorter."""
    text = base64.b64encode(frame).decode("ascii")
    return tuple(text[at : at + CHUNK_CHARS] for at in range(0, len(text), CHUNK_CHARS))


def join(chunks: Sequence[bytes], where: str) -> bytes:
    """The frame that `chunks` carry. Raises: DescriptorRefused naming `where`."""
    if not 1 <= len(chunks) <= CHUNKS_MAX:
        raise DescriptorRefused(where, f"{len(chunks)} chunks, must be 1 to {CHUNKS_MAX}")
    for number, chunk in enumerate(chunks, 1):
        full = number < len(chunks)
        if len(chunk) > CHUNK_CHARS or (full and len(chunk) != CHUNK_CHARS) or not chunk:
            raise DescriptorRefused(
                f"{where}/{number:03d}", f"{len(chunk)} characters, must be {CHUNK_CHARS}"
            )
    try:
        frame = base64.b64decode(b"".join(chunks), validate=True)
    except binascii.Error as error:
        raise DescriptorRefused(where, f"not base64: {error}") from error
    if base64.b64encode(frame) != b"".join(chunks):
        raise DescriptorRefused(where, "not canonical base64: stray bits in the last character")
    return frame
