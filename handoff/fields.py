"""Reads values of a decoded msgpack map strictly, keeping the path for the refusal."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NoReturn, TypeVar

import msgpack

from handoff.addresses import AddressError, GpaRange
from handoff.errors import DescriptorRefused, printable

E = TypeVar("E", bound=Enum)
T = TypeVar("T")


def unpack_canonical(payload: bytes) -> Fields:
    """The one msgpack map that is `payload`, in the form our encoder writes.

    msgpack itself takes duplicate keys and long forms of short numbers; packing the
    result again and comparing refuses both. Raises: DescriptorRefused.
    """
    limits = {"max_str_len": 4096, "max_bin_len": 8192, "max_array_len": 1024, "max_map_len": 64}
    try:
        value = msgpack.unpackb(
            payload, raw=False, strict_map_key=True, use_list=True, max_ext_len=0, **limits
        )
        # Packing has a depth limit of its own in some versions, so it is inside, too.
        packed = msgpack.packb(value, use_bin_type=True)
    except (msgpack.UnpackException, msgpack.StackError, ValueError) as error:
        raise DescriptorRefused("payload", f"not one msgpack value: {error}") from error
    fields = Fields(value, "payload")
    if packed != payload:
        raise DescriptorRefused("payload", "not in canonical form: duplicate key or long form")
    return fields


class Fields:
    """A map whose keys are taken one by one; `done()` refuses what was not taken."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise DescriptorRefused(path, f"must be a map, is {_kind(value)}")
        self._left: dict[str, object] = dict(value)
        self._path = path

    def _at(self, key: str) -> str:
        return key if self._path == "payload" else f"{self._path}.{key}"

    def _take(self, key: str) -> object:
        if key not in self._left:
            raise DescriptorRefused(self._at(key), "is missing")
        return self._left.pop(key)

    def integer(self, key: str, low: int, high: int) -> int:
        """An int in [low, high]."""
        value = self._take(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise DescriptorRefused(
                self._at(key), f"must be a number in {low:#x}..{high:#x}, is {_kind(value)}"
            )
        return value

    def binary(self, key: str, low: int, high: int) -> bytes:
        """Bytes, from `low` to `high` of them."""
        value = self._take(key)
        if not isinstance(value, bytes) or not low <= len(value) <= high:
            raise DescriptorRefused(
                self._at(key), f"must be {low} to {high} bytes, is {_kind(value)}"
            )
        return value

    def text(self, key: str, limit: int) -> str:
        """Printable ASCII, at most `limit` characters."""
        value = self._take(key)
        if not isinstance(value, str) or len(value) > limit or not _is_printable(value):
            raise DescriptorRefused(
                self._at(key), f"must be printable text up to {limit}, is {_kind(value)}"
            )
        return value

    def choice(self, key: str, of: type[E]) -> E:
        """A member of the closed set `of`, by value."""
        value = self._take(key)
        for member in of:
            if member.value == value and type(member.value) is type(value):
                return member
        known = ", ".join(str(member.value) for member in of)
        raise DescriptorRefused(self._at(key), f"must be one of {known}, is {_kind(value)}")

    def range(self, start: str, size: str) -> GpaRange:
        """A range from two numbers of this map."""
        return self._range(start, self._take(start), self._take(size))

    def _range(self, key: str, start: object, size: object) -> GpaRange:
        whole = isinstance(start, int) and isinstance(size, int)
        if not whole or isinstance(start, bool) or isinstance(size, bool):
            raise DescriptorRefused(self._at(key), "start and size must be numbers")
        assert isinstance(start, int)
        assert isinstance(size, int)
        try:
            return GpaRange.between(start, start + size)
        except AddressError as error:
            raise DescriptorRefused(self._at(key), str(error)) from error

    def each(self, key: str, limit: int, read: Callable[[Fields], T]) -> tuple[T, ...]:
        """A list of at most `limit` maps, each read by `read` to its last key."""
        value = self._take(key)
        if not isinstance(value, list) or len(value) > limit:
            raise DescriptorRefused(
                self._at(key), f"must be a list of at most {limit}, is {_kind(value)}"
            )
        out = []
        for index, item in enumerate(value):
            fields = Fields(item, f"{self._at(key)}[{index}]")
            out.append(read(fields))
            fields.done()
        return tuple(out)

    def refuse(self, key: str, problem: str) -> NoReturn:
        """Raises: DescriptorRefused for `key` of this map."""
        raise DescriptorRefused(self._at(key), problem)

    def done(self) -> None:
        """Raises: DescriptorRefused if a key is left that nobody knows."""
        for key in self._left:
            raise DescriptorRefused(self._at(printable(key, 40)), "is not a known key")


def _kind(value: object) -> str:
    if isinstance(value, bytes | str | list | dict):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value)[:40]


def _is_printable(text: str) -> bool:
    return all(" " <= character <= "~" for character in text)
