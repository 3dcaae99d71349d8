"""Attempts on other domains through hypercalls: of a device model, of a toolstack, of a peer."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct

from toolstack.isolation.promises import Promise
from toolstack.isolation.stubdom import calls
from toolstack.isolation.stubdom.attempt import Attempt, Claim, Group
from toolstack.isolation.stubdom.hands import Hands
from toolstack.isolation.stubdom.order import Whom

_STORE_EVTCHN = 2
"""Every HVM domain has it. Source: xen/include/public/hvm/params.h."""
_TRIPLE_FAULT_REASON, _REBOOT = 31, 1
"""What Xen would tell of a triple fault; nothing else comes of it."""
_MSI_ADDRESS, _MSI_DATA = 0xFEE0_0000, 0x4030
_EVTCHN = "/dev/xen/evtchn"
_BIND_INTERDOMAIN, _UNBIND = 0x08_4501, 0x04_4503
"""Source: Linux include/uapi/xen/evtchn.h."""
_PORTS = range(1, 33)
_POWEROFF = 0


def read_a_parameter(hands: Hands, whom: Whom) -> str:
    calls.hvm_param(hands.privcmd, hands.domid(whom), _STORE_EVTCHN)
    return "read"


def write_a_parameter(hands: Hands, whom: Whom) -> str:
    domid = hands.domid(whom)
    calls.set_hvm_param(hands.privcmd, domid, _TRIPLE_FAULT_REASON, _REBOOT)
    return "written"


def make_an_ioreq_server(hands: Hands, whom: Whom) -> str:
    domid = hands.domid(whom)
    made = hands.privcmd.device_model_op(
        domid, struct.pack("=IIQ", calls.CREATE_IOREQ_SERVER, 0, 0)
    )
    number = struct.unpack_from("=H", made, 12)[0]
    gone = struct.pack("=IIHxx", calls.DESTROY_IOREQ_SERVER, 0, number)
    hands.privcmd.device_model_op(domid, gone)
    return "made"


def inject_an_interrupt(hands: Hands, whom: Whom) -> str:
    op = struct.pack("=IIIIQ", calls.INJECT_MSI, 0, _MSI_DATA, 0, _MSI_ADDRESS)
    hands.privcmd.device_model_op(hands.domid(whom), op)
    return "injected"


def look_at_it(hands: Hands, whom: Whom) -> str:
    calls.domctl(hands.privcmd, calls.GET_DOMAIN_INFO, hands.domid(whom))
    return "seen"


def pause(hands: Hands, whom: Whom) -> str:
    calls.domctl(hands.privcmd, calls.PAUSE_DOMAIN, hands.domid(whom))
    return "paused"


def unpause(hands: Hands, whom: Whom) -> str:
    calls.domctl(hands.privcmd, calls.UNPAUSE_DOMAIN, hands.domid(whom))
    return "unpaused"


def destroy(hands: Hands, whom: Whom) -> str:
    calls.domctl(hands.privcmd, calls.DESTROY_DOMAIN, hands.domid(whom))
    return "destroyed"


def take_for_its_target(hands: Hands, whom: Whom) -> str:
    # A domain has one target for good: a trial run gives one to a domain that has none.
    who = hands.order.target if hands.control else hands.stubdom
    argument = struct.pack("=H", hands.domid(whom))
    calls.domctl(hands.privcmd, calls.SET_TARGET, who, argument)
    return "given"


def open_an_event_channel(hands: Hands, whom: Whom) -> str:
    calls.alloc_unbound(hands.privcmd, hands.domid(whom), calls.DOMID_SELF)
    return "opened"


def bind_to_its_event_channels(hands: Hands, whom: Whom) -> str:
    domid = hands.domid(whom)
    if hands.control:
        calls.alloc_unbound(hands.privcmd, domid, calls.DOMID_SELF)
    device = None
    with contextlib.suppress(FileNotFoundError):
        device = os.open(_EVTCHN, os.O_RDWR | os.O_CLOEXEC)
    refused = OSError()
    try:
        for port in _PORTS:
            try:
                return _bound(hands, device, domid, port)
            except OSError as error:
                refused = error
        raise refused
    finally:
        if device is not None:
            os.close(device)


def _bound(hands: Hands, device: int | None, domid: int, port: int) -> str:
    """By Linux's device, or by a hypercall where there is none."""
    if device is None:
        calls.bind_interdomain(hands.privcmd, domid, port)
    else:
        ours = fcntl.ioctl(device, _BIND_INTERDOMAIN, struct.pack("=II", domid, port))
        assert ours, "the device tells a port"
    return f"bound to {port}"


def shut_down(hands: Hands, whom: Whom) -> str:
    op = struct.pack("=III", calls.REMOTE_SHUTDOWN, 0, _POWEROFF)
    hands.privcmd.device_model_op(hands.domid(whom), op)
    return "shut down"


_OTHERS, _GROUP = Promise.OTHER_DOMAINS, Group.HYPERVISOR
_RUNS = ("running at once", None)

ATTEMPTS = (
    Attempt("read an HVM parameter", _GROUP, _OTHERS, read_a_parameter, Claim.OPEN),
    Attempt("write an HVM parameter", _GROUP, _OTHERS, write_a_parameter, Claim.OPEN),
    Attempt("create an ioreq server", _GROUP, _OTHERS, make_an_ioreq_server, Claim.RIGHT),
    Attempt("inject an MSI", _GROUP, _OTHERS, inject_an_interrupt, Claim.OPEN),
    Attempt("open an event channel in it", _GROUP, _OTHERS, open_an_event_channel, Claim.OPEN),
    Attempt("bind to its event channels", _GROUP, _OTHERS, bind_to_its_event_channels, Claim.OPEN),
    Attempt("look at it (getdomaininfo)", _GROUP, _OTHERS, look_at_it, Claim.OPEN),
    Attempt("pause it", _GROUP, _OTHERS, pause),
    Attempt("unpause it", _GROUP, Promise.NO_LIE_BOOTS, unpause, simulated=_RUNS),
    Attempt("take it as target", _GROUP, _OTHERS, take_for_its_target),
    Attempt(
        "destroy it",
        _GROUP,
        _OTHERS,
        destroy,
        unproven="what it would leave of a domain, xl could not take away",
    ),
    Attempt("shut it down", _GROUP, _OTHERS, shut_down, Claim.OPEN),
)
