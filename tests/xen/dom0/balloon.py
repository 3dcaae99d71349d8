"""Pages taken from a domain, and a domain stopped in between: what only a test does to one."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from handoff.addresses import PAGE, Gpa
from tests.xen.bed.recipe import XEN_VERSION

LIBXENCTRL: Final = f"libxenctrl.so.{XEN_VERSION}"


def take_page(domid: int, at: Gpa) -> None:
    """The page at `at` is not RAM of the domain any more, as when its balloon gives it back."""
    frame = ctypes.c_uint64(at // PAGE)
    with _control() as (library, handle):
        _done(
            library.xc_domain_decrease_reservation_exact(
                handle, domid, ctypes.c_ulong(1), 0, ctypes.byref(frame)
            )
        )


def pause(domid: int) -> None:
    with _control() as (library, handle):
        _done(library.xc_domain_pause(handle, domid))


def unpause(domid: int) -> None:
    with _control() as (library, handle):
        _done(library.xc_domain_unpause(handle, domid))


@contextmanager
def _control() -> Iterator[tuple[Any, ctypes.c_void_p]]:
    library = ctypes.CDLL(LIBXENCTRL, use_errno=True)
    library.xc_interface_open.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(library.xc_interface_open(None, None, 0))
    try:
        yield library, handle
    finally:
        library.xc_interface_close(handle)


def _done(status: int) -> None:
    """Raises: OSError."""
    if status:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
