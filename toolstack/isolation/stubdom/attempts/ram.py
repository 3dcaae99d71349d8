"""Attempts on RAM: foreign mappings and grants."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct

from toolstack.isolation.promises import Promise
from toolstack.isolation.stubdom.attempt import Attempt, Claim, Group
from toolstack.isolation.stubdom.hands import Hands
from toolstack.isolation.stubdom.order import RAM_AT, WORDS, Whom
from toolstack.isolation.stubdom.privcmd import PAGE

WRITTEN_AT = 64
"""In the page of the secret."""
_GNTDEV = "/dev/xen/gntdev"
_MAP_GRANT_REF = 0x18_4700
"""Source: Linux include/uapi/xen/gntdev.h."""
_REFERENCES = range(16)
"""The first ones: libxc grants a new guest's console and xenstore ring by the first two."""


def read_ram(hands: Hands, whom: Whom) -> str:
    with hands.privcmd.frame(hands.domid(whom), RAM_AT // PAGE, writable=False) as at:
        found = ctypes.string_at(at, len(hands.order.secret))
    return "read the secret" if found == hands.order.secret.encode() else "read something"


def write_ram(hands: Hands, whom: Whom) -> str:
    with hands.privcmd.frame(hands.domid(whom), RAM_AT // PAGE, writable=True) as at:
        ctypes.memmove(at + WRITTEN_AT, WORDS, len(WORDS))
    return "written"


def map_a_granted_page(hands: Hands, whom: Whom) -> str:
    device = os.open(_GNTDEV, os.O_RDWR | os.O_CLOEXEC)
    try:
        refused = OSError()
        for reference in _REFERENCES:
            try:
                return _mapped(device, hands.domid(whom), reference)
            except OSError as error:
                refused = error
        raise refused
    finally:
        os.close(device)


def _mapped(device: int, domid: int, reference: int) -> str:
    asked = bytearray(struct.pack("=IIQII", 1, 0, 0, domid, reference))
    fcntl.ioctl(device, _MAP_GRANT_REF, asked, True)
    index = struct.unpack_from("=Q", asked, 8)[0]
    with mmap.mmap(device, PAGE, offset=index):
        return f"mapped reference {reference}"


ATTEMPTS = (
    Attempt(
        "read RAM",
        Group.RAM,
        Promise.OTHER_RAM,
        read_ram,
        Claim.RIGHT,
        ("write its target's RAM", "map another guest's RAM, inherited"),
    ),
    Attempt(
        "write RAM",
        Group.RAM,
        Promise.OTHER_RAM,
        write_ram,
        Claim.RIGHT,
        ("write its target's RAM", "map another guest's RAM, inherited"),
    ),
    Attempt("map a granted page", Group.RAM, Promise.OTHER_RAM, map_a_granted_page, Claim.OPEN),
)
