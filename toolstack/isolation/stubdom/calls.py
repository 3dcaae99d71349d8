"""The hypercalls that are tried, as Xen numbers and lays them out.

Source: xen/include/public: xen.h, domctl.h, sysctl.h, event_channel.h, hvm/hvm_op.h, hvm/dm_op.h.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

from toolstack.isolation.stubdom.privcmd import Privcmd

_EVENT_CHANNEL_OP, _HVM_OP, _SYSCTL, _DOMCTL = 32, 34, 35, 36

DESTROY_DOMAIN, PAUSE_DOMAIN, UNPAUSE_DOMAIN, GET_DOMAIN_INFO, SET_TARGET = 2, 3, 4, 5, 46
READ_CONSOLE, GET_DOMAIN_INFO_LIST = 1, 6
_HVM_SET_PARAM, _HVM_GET_PARAM = 0, 1
CREATE_IOREQ_SERVER, DESTROY_IOREQ_SERVER, INJECT_MSI, REMOTE_SHUTDOWN = 1, 6, 14, 16
_BIND_INTERDOMAIN, _ALLOC_UNBOUND = 0, 6
DOMID_SELF = 0x7FF0

_CONTROL_BYTES = 256
"""More than xen_domctl and xen_sysctl take in any release."""
_INTERFACES = (0x15, 0x16, 0x17, 0x18, 0x14, 0x13, 0x12, 0)
"""Versions of the control interface, that of 4.17 first. Xen looks at it before anything else, and
refuses another one by EACCES."""


def domctl(privcmd: Privcmd, command: int, domid: int, argument: bytes = b"") -> bytes:
    """Commands on a domain. Raises: OSError."""

    def make(interface: int) -> bytes:
        call = struct.pack("=IIHxxxxxx", command, interface, domid) + argument
        return privcmd.with_argument(_DOMCTL, None, call.ljust(_CONTROL_BYTES, b"\0"))

    return _by_any_interface(make)


def sysctl(privcmd: Privcmd, command: int, argument: bytes) -> bytes:
    """Commands on the machine. Raises: OSError."""

    def make(interface: int) -> bytes:
        call = struct.pack("=II", command, interface) + argument
        return privcmd.with_argument(_SYSCTL, None, call.ljust(_CONTROL_BYTES, b"\0"))

    return _by_any_interface(make)


def _by_any_interface(make: Callable[[int], bytes]) -> bytes:
    for interface in _INTERFACES[:-1]:
        try:
            return make(interface)
        except OSError as error:
            if error.errno != errno.EACCES:
                raise
    return make(_INTERFACES[-1])


def hvm_param(privcmd: Privcmd, domid: int, index: int) -> int:
    """The value of a parameter. Raises: OSError."""
    asked = struct.pack("=HxxIQ", domid, index, 0)
    value: int = struct.unpack("=HxxIQ", privcmd.with_argument(_HVM_OP, _HVM_GET_PARAM, asked))[2]
    return value


def set_hvm_param(privcmd: Privcmd, domid: int, index: int, value: int) -> None:
    """Raises: OSError."""
    asked = struct.pack("=HxxIQ", domid, index, value)
    privcmd.with_argument(_HVM_OP, _HVM_SET_PARAM, asked)


def alloc_unbound(privcmd: Privcmd, domid: int, remote: int) -> int:
    """A new event channel of `domid` that `remote` may bind to. Raises: OSError."""
    asked = struct.pack("=HHI", domid, remote, 0)
    answer = privcmd.with_argument(_EVENT_CHANNEL_OP, _ALLOC_UNBOUND, asked)
    port: int = struct.unpack("=HHI", answer)[2]
    return port


def bind_interdomain(privcmd: Privcmd, domid: int, port: int) -> int:
    """An event channel of ours, bound to that one of `domid`. Raises: OSError."""
    asked = struct.pack("=HxxII", domid, port, 0)
    answer = privcmd.with_argument(_EVENT_CHANNEL_OP, _BIND_INTERDOMAIN, asked)
    ours: int = struct.unpack("=HxxII", answer)[2]
    return ours
