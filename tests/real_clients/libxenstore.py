"""Xen's own client library, libxenstore.so.4, through ctypes.

A refusal is an OSError with the errno that the library set. Source: xenstore.h of Xen 4.17.
"""

import ctypes
import errno
import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_bool, c_char_p, c_int, c_uint, c_ulong, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

NO_TX: Final = 0
UNWATCH_FILTER: Final = 4
"""XS_UNWATCH_FILTER: no event of a watch comes after its xs_unwatch."""
PERM_NONE, PERM_READ, PERM_WRITE = 0, 1, 2
EVENT_DEADLINE_S: Final = 30


class Permission(ctypes.Structure):
    """struct xs_permissions."""

    _fields_ = (("id", c_uint), ("perms", c_uint))


_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "xs_open": (c_void_p, (c_ulong,)),
    "xs_close": (None, (c_void_p,)),
    "xs_read": (c_void_p, (c_void_p, c_uint, c_char_p, POINTER(c_uint))),
    "xs_write": (c_bool, (c_void_p, c_uint, c_char_p, c_char_p, c_uint)),
    "xs_mkdir": (c_bool, (c_void_p, c_uint, c_char_p)),
    "xs_rm": (c_bool, (c_void_p, c_uint, c_char_p)),
    "xs_directory": (POINTER(c_char_p), (c_void_p, c_uint, c_char_p, POINTER(c_uint))),
    "xs_get_permissions": (
        POINTER(Permission),
        (c_void_p, c_uint, c_char_p, POINTER(c_uint)),
    ),
    "xs_set_permissions": (c_bool, (c_void_p, c_uint, c_char_p, POINTER(Permission), c_uint)),
    "xs_watch": (c_bool, (c_void_p, c_char_p, c_char_p)),
    "xs_unwatch": (c_bool, (c_void_p, c_char_p, c_char_p)),
    "xs_fileno": (c_int, (c_void_p,)),
    "xs_check_watch": (POINTER(c_char_p), (c_void_p,)),
    "xs_read_watch": (POINTER(c_char_p), (c_void_p, POINTER(c_uint))),
    "xs_transaction_start": (c_uint, (c_void_p,)),
    "xs_transaction_end": (c_bool, (c_void_p, c_uint, c_bool)),
    "xs_introduce_domain": (c_bool, (c_void_p, c_uint, c_ulong, c_uint)),
    "xs_set_target": (c_bool, (c_void_p, c_uint, c_uint)),
    "xs_resume_domain": (c_bool, (c_void_p, c_uint)),
    "xs_release_domain": (c_bool, (c_void_p, c_uint)),
    "xs_is_domain_introduced": (c_bool, (c_void_p, c_uint)),
    "xs_get_domain_path": (c_void_p, (c_void_p, c_uint)),
    "xs_path_is_subpath": (c_bool, (c_char_p, c_char_p)),
    "xs_control_command": (c_void_p, (c_void_p, c_char_p, c_char_p, c_uint)),
    "xs_debug_command": (c_void_p, (c_void_p, c_char_p, c_char_p, c_uint)),
}


@dataclass(frozen=True)
class Library:
    """The loaded library: its functions by name, and free() for what they return."""

    call: dict[str, Callable[..., Any]]
    free: Callable[[Any], None]
    opening: threading.Lock
    """Held while the environment says which socket to open."""

    @classmethod
    def load(cls) -> "Library":
        """The installed one."""
        loaded = ctypes.CDLL("libxenstore.so.4", use_errno=True)
        call = {}
        for name, (result, parameters) in _SIGNATURES.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, parameters
            call[name] = function
        free = ctypes.CDLL(None).free
        free.restype, free.argtypes = None, (c_void_p,)
        return cls(call, free, threading.Lock())


class Handle:
    """A struct xs_handle; any thread may use it."""

    def __init__(self, library: Library, socket: Path, flags: int = 0) -> None:
        """Raises: OSError."""
        self._library = library
        self._handle: int | None = None
        # The library knows no other way to be told where.
        with library.opening:
            os.environ["XENSTORED_PATH"] = str(socket)
            try:
                self._handle = self._ask("xs_open", flags, alone=True)
            finally:
                del os.environ["XENSTORED_PATH"]

    @property
    def fileno(self) -> int:
        """Readable when an event waits; the first call makes a pipe for that."""
        return int(self._ask("xs_fileno"))

    def close(self) -> None:
        self._library.call["xs_close"](self._handle)
        self._handle = None

    # -- nodes

    def read(self, path: str, tx: int = NO_TX) -> bytes:
        length = c_uint()
        found = self._ask("xs_read", tx, path.encode(), ctypes.byref(length))
        value = ctypes.string_at(found, length.value + 1)
        self._library.free(found)
        assert value[-1] == 0, "libxenstore ends each value with a NUL of its own"
        return value[:-1]

    def write(self, path: str, value: bytes, tx: int = NO_TX) -> None:
        self._ask("xs_write", tx, path.encode(), value, len(value))

    def mkdir(self, path: str, tx: int = NO_TX) -> None:
        self._ask("xs_mkdir", tx, path.encode())

    def rm(self, path: str, tx: int = NO_TX) -> None:
        self._ask("xs_rm", tx, path.encode())

    def directory(self, path: str, tx: int = NO_TX) -> list[str]:
        number = c_uint()
        found = self._ask("xs_directory", tx, path.encode(), ctypes.byref(number))
        return [name.decode() for name in self._texts(found, number.value)]

    def get_permissions(self, path: str, tx: int = NO_TX) -> list[tuple[int, int]]:
        """Pairs of domid and PERM_ bits, the owner's first."""
        number = c_uint()
        found = self._ask("xs_get_permissions", tx, path.encode(), ctypes.byref(number))
        entries = [(found[at].id, found[at].perms) for at in range(number.value)]
        self._library.free(found)
        return entries

    def set_permissions(self, path: str, *entries: tuple[int, int], tx: int = NO_TX) -> None:
        array = (Permission * len(entries))(*(Permission(*entry) for entry in entries))
        self._ask("xs_set_permissions", tx, path.encode(), array, len(entries))

    # -- transactions and watches

    def start(self) -> int:
        """A new transaction's id."""
        return int(self._ask("xs_transaction_start"))

    def end(self, tx: int, *, commit: bool = True) -> None:
        self._ask("xs_transaction_end", tx, not commit)

    def watch(self, path: str, token: str) -> None:
        self._ask("xs_watch", path.encode(), token.encode())

    def unwatch(self, path: str, token: str) -> None:
        self._ask("xs_unwatch", path.encode(), token.encode())

    def check_watch(self) -> tuple[str, str]:
        """An event that waits; OSError with EAGAIN when there is none."""
        return self._event(self._ask("xs_check_watch"))

    def read_watch(self) -> tuple[str, str]:
        """The next event; fails when none comes in time."""
        ready, _, _ = select.select([self.fileno], [], [], EVENT_DEADLINE_S)
        assert ready, "no event came"
        return self._event(self._ask("xs_read_watch", ctypes.byref(c_uint())))

    # -- domains and control

    def introduce_domain(self, domid: int, *, mfn: int = 1, port: int) -> None:
        self._ask("xs_introduce_domain", domid, mfn, port)

    def release_domain(self, domid: int) -> None:
        self._ask("xs_release_domain", domid)

    def resume_domain(self, domid: int) -> None:
        self._ask("xs_resume_domain", domid)

    def set_target(self, domid: int, target: int) -> None:
        self._ask("xs_set_target", domid, target)

    def is_domain_introduced(self, domid: int) -> bool:
        return bool(self._library.call["xs_is_domain_introduced"](self._handle, domid))

    def get_domain_path(self, domid: int) -> str:
        return self._text(self._ask("xs_get_domain_path", domid))

    def control(self, command: str, data: bytes = b"") -> str:
        """data: further arguments, each with its NUL."""
        return self._text(self._ask("xs_control_command", command.encode(), data, len(data)))

    def debug(self, command: str) -> str:
        """The old name of `control`."""
        return self._text(self._ask("xs_debug_command", command.encode(), b"", 0))

    # -- inside

    def _ask(self, name: str, *args: Any, alone: bool = False) -> Any:
        # Else the errno of an earlier refusal would be taken for that of this one.
        ctypes.set_errno(0)
        function = self._library.call[name]
        result = function(*args) if alone else function(self._handle, *args)
        if not result:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), name)
        return result

    def _texts(self, found: Any, number: int) -> list[bytes]:
        texts = [found[at] for at in range(number)]
        self._library.free(found)
        return texts

    def _event(self, found: Any) -> tuple[str, str]:
        path, token = self._texts(found, 2)
        return path.decode(), token.decode()

    def _text(self, found: int) -> str:
        text = ctypes.string_at(found).decode()
        self._library.free(found)
        return text


@contextmanager
def opened(library: Library, socket: Path, flags: int = 0) -> Iterator[Handle]:
    """A handle for the block."""
    handle = Handle(library, socket, flags)
    try:
        yield handle
    finally:
        handle.close()


@contextmanager
def refused(number: int) -> Iterator[None]:
    """The block must end with this errno."""
    with pytest.raises(OSError) as caught:  # noqa: PT011  (the errno is what matters)
        yield
    assert caught.value.errno == number, errno.errorcode.get(caught.value.errno or 0)
