"""What an item of fw_cfg is read from: bytes made here, or parts of images, on demand."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from devicemodel.images.source import ImageSlice
from handoff.addresses import GpaRange
from handoff.errors import ImageError


class Blob(Protocol):
    """Bytes of a known size."""

    @property
    def size(self) -> int:
        """bytes; may be 0"""

    @property
    def sources(self) -> tuple[GpaRange, ...]:
        """Guest RAM that is read when the item is: it must keep its content until then."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly the bytes [offset, offset + size), which lie inside.

        Raises: ImageError if a host file was cut meanwhile.
        """


@dataclass(frozen=True, slots=True)
class BytesBlob:
    """Bytes the device model holds itself."""

    content: bytes | memoryview

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def sources(self) -> tuple[GpaRange, ...]:
        return ()

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self.content[offset : offset + size])


@dataclass(frozen=True, slots=True)
class ImageBlob:
    """A part of an image, in guest RAM or in a host file."""

    part: ImageSlice

    @property
    def size(self) -> int:
        return self.part.size

    @property
    def sources(self) -> tuple[GpaRange, ...]:
        where = self.part.location
        return () if where is None else (where,)

    def read_at(self, offset: int, size: int) -> bytes:
        data = self.part.image.read_at(self.part.offset + offset, size)
        if len(data) < size:
            raise ImageError(
                f"{self.part.image.role.value} ends at {self.part.offset + offset + len(data):#x}: "
                "it was cut while the guest read it"
            )
        return data


@dataclass(frozen=True, slots=True)
class ZeroBlob:
    """Padding."""

    size: int

    @property
    def sources(self) -> tuple[GpaRange, ...]:
        return ()

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(size)


@dataclass(frozen=True, slots=True)
class JoinedBlob:
    """Blobs one after the other, as one item."""

    parts: tuple[Blob, ...]

    @classmethod
    def of(cls, parts: Iterable[Blob]) -> JoinedBlob:
        """The join of `parts`, empty ones left out."""
        return cls(tuple(part for part in parts if part.size))

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    @property
    def sources(self) -> tuple[GpaRange, ...]:
        return tuple(where for part in self.parts for where in part.sources)

    def read_at(self, offset: int, size: int) -> bytes:
        out = io.BytesIO()
        for part in self.parts:
            if size == 0:
                break
            if offset >= part.size:
                offset -= part.size
                continue
            taken = min(size, part.size - offset)
            out.write(part.read_at(offset, taken))
            offset, size = 0, size - taken
        return out.getvalue()
