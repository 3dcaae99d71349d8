"""The frame in the device model's own argument list, beside what libxl puts there.

libxl hands a stub domain its arguments through `/vm/<uuid>/image/dm-argv/NNN`, one xenstore
value each, so the frame rides in pieces that fit one value.
"""

from __future__ import annotations

from collections.abc import Sequence

from handoff.carriers import base64_chunks

OPTION = "-direct-boot-frame"


def to_arguments(frame: bytes) -> tuple[str, ...]:
    """`-direct-boot-frame CHUNK` as often as it takes."""
    return tuple(word for chunk in base64_chunks.split(frame) for word in (OPTION, chunk))


def from_chunks(chunks: Sequence[str]) -> bytes:
    """The frame that the values of all OPTIONs carry. Raises: DescriptorRefused."""
    raw = [chunk.encode("utf-8", "surrogateescape") for chunk in chunks]
    return base64_chunks.join(raw, f"argument {OPTION}")
