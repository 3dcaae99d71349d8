"""Attempts on what is no domain's: the machine and Xen itself."""

from __future__ import annotations

import mmap
import os
import re
import struct

from toolstack.isolation.attempt import Stopped
from toolstack.isolation.promises import Promise
from toolstack.isolation.stubdom import calls
from toolstack.isolation.stubdom.attempt import Attempt, Group
from toolstack.isolation.stubdom.hands import Hands
from toolstack.isolation.stubdom.order import Whom
from toolstack.isolation.stubdom.privcmd import PAGE

_BIOS_AT = 0xFFFF5
"""Where a PC's BIOS has its date; a first megabyte of RAM has no such thing."""
_BIOS_DATE = re.compile(rb"\d\d/\d\d/\d\d")


def read_xens_messages(hands: Hands, whom: Whom) -> str:
    argument = struct.pack("=BBxxIQI", 0, 0, 0, hands.privcmd.spare, PAGE // 2)
    calls.sysctl(hands.privcmd, calls.READ_CONSOLE, argument)
    return "read"


def list_all_domains(hands: Hands, whom: Whom) -> str:
    argument = struct.pack("=HxxIQI", 0, 1, hands.privcmd.spare, 0)
    calls.sysctl(hands.privcmd, calls.GET_DOMAIN_INFO_LIST, argument)
    return "listed"


def read_the_machines_bios(hands: Hands, whom: Whom) -> str:
    """Where a PV domain that owns no hardware has none, it has RAM of its own."""
    found = _read_page(_BIOS_AT // PAGE)[_BIOS_AT % PAGE :]
    if not _BIOS_DATE.match(found):
        raise Stopped("its own page")
    return f"BIOS of {found[:8].decode('ascii')}"


def read_memory_beyond_its_own(hands: Hands, whom: Whom) -> str:
    own = os.sysconf("SC_PHYS_PAGES")
    if not _read_page(2 * own).strip(b"\xff\0"):
        raise Stopped("an empty page")
    return "read a page"


def _read_page(number: int) -> bytes:
    """A page of what Linux has as physical memory. Raises: OSError; touching what is not there
    ends the process."""
    device = os.open("/dev/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with mmap.mmap(device, PAGE, prot=mmap.PROT_READ, offset=number * PAGE) as area:
            return area[:]
    finally:
        os.close(device)


_KERNEL, _DOMAINS = Promise.KERNEL, Promise.OTHER_DOMAINS
_HOST = (Whom.HOST,)

ATTEMPTS = (
    Attempt("read Xen's messages", Group.HOST, _KERNEL, read_xens_messages, of=_HOST),
    Attempt("list all domains", Group.HOST, _DOMAINS, list_all_domains, of=_HOST),
    Attempt(
        "read the machine's BIOS (/dev/mem)",
        Group.HOST,
        _KERNEL,
        read_the_machines_bios,
        of=_HOST,
        alone=True,
    ),
    Attempt(
        "read beyond its own RAM (/dev/mem)",
        Group.HOST,
        Promise.OTHER_RAM,
        read_memory_beyond_its_own,
        of=_HOST,
        unproven="Linux shows nobody another's RAM there, not even dom0",
        alone=True,
    ),
)
