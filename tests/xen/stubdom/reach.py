"""Inside a stub domain, as root and unconfined: what of other domains can be reached from here.

`python3 -m tests.xen.stubdom.reach ... --reach DOMID,...`: one line of JSON on the console for each
attempt, behind the word REACH.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import struct
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import trio

from handoff.addresses import Gpa, GpaRange
from handoff.errors import HandoffError
from handoff.foreign_memory import ForeignMemory
from tests.xen.stubdom.words import OPTION, REACH, WRITTEN, WRITTEN_AT
from xenstore_sim.client import Client
from xenstore_sim.client.device_transport import DeviceTransport
from xenstore_sim.wire.errors import XenstoreError
from xenstore_sim.wire.names import DomId

LIBXENCTRL: Final = "libxenctrl.so.4.17"
IOCTL_PRIVCMD_DM_OP: Final = 0x105005
"""Source: Linux include/uapi/xen/privcmd.h."""
CREATE_IOREQ_SERVER, DESTROY_IOREQ_SERVER = 1, 6
"""Source: xen/include/public/hvm/dm_op.h."""
IOREQ_PFN: Final = 5


def main() -> None:
    words = sys.argv[1:]
    for text in words[words.index(OPTION) + 1].split(","):
        domid = DomId(int(text))
        for name, attempt in ATTEMPTS.items():
            tell(domid, name, attempt)
        for name, path in NODES.items():
            tell(domid, name, lambda domid, path=path: xenstore(f"/local/domain/{domid}/{path}"))


def tell(domid: int, name: str, attempt: Callable[[DomId], None]) -> None:
    how = "done"
    try:
        attempt(DomId(domid))
    except OSError as error:
        how = errno.errorcode.get(error.errno or 0, str(error.errno))
    except (HandoffError, XenstoreError) as error:
        how = str(error)
    print(REACH + json.dumps({"domid": domid, "what": name, "how": how[:300]}), flush=True)


def read_ram(domid: DomId) -> None:
    with _mapped(domid, writable=False) as view:
        bytes(view)


def write_ram(domid: DomId) -> None:
    with _mapped(domid, writable=True) as view:
        view[:] = WRITTEN


def _mapped(domid: DomId, *, writable: bool) -> AbstractContextManager[memoryview]:
    # Not restricted: what refuses is Linux's module or Xen.
    where = GpaRange(Gpa(WRITTEN_AT), len(WRITTEN))
    return ForeignMemory().mapped(domid, where, writable=writable)


def hvm_param(domid: DomId) -> None:
    library, handle = _control()
    value = ctypes.c_uint64()
    _ok(library.xc_hvm_param_get(handle, ctypes.c_uint32(domid), IOREQ_PFN, ctypes.byref(value)))


def unpause(domid: DomId) -> None:
    library, handle = _control()
    _ok(library.xc_domain_unpause(handle, ctypes.c_uint32(domid)))


def _control() -> tuple[ctypes.CDLL, ctypes.c_void_p]:
    library = ctypes.CDLL(LIBXENCTRL, use_errno=True)
    library.xc_interface_open.restype = ctypes.c_void_p
    return library, ctypes.c_void_p(library.xc_interface_open(None, None, 0))


def _ok(status: int) -> None:
    if status < 0:
        raise OSError(ctypes.get_errno(), "refused")


def ioreq_server(domid: DomId) -> None:
    """Makes an ioreq server, as a device model does, and takes it away again."""
    privcmd = os.open("/dev/xen/privcmd", os.O_RDWR | os.O_CLOEXEC)
    try:
        op = ctypes.create_string_buffer(struct.pack("<II", CREATE_IOREQ_SERVER, 0), 64)
        _dm_op(privcmd, domid, op)
        number = struct.unpack_from("<H", op, 12)[0]
        gone = struct.pack("<IIH", DESTROY_IOREQ_SERVER, 0, number)
        _dm_op(privcmd, domid, ctypes.create_string_buffer(gone, 64))
    finally:
        os.close(privcmd)


def _dm_op(privcmd: int, domid: int, op: ctypes.Array[ctypes.c_char]) -> None:
    buffer = ctypes.create_string_buffer(struct.pack("<QQ", ctypes.addressof(op), len(op)))
    fcntl.ioctl(
        privcmd, IOCTL_PRIVCMD_DM_OP, struct.pack("<HHxxxxQ", domid, 1, ctypes.addressof(buffer))
    )


def xenstore(path: str) -> None:
    """Writes a node. Raises: XenstoreError."""

    async def write() -> None:
        with trio.fail_after(30):
            async with Client.over(DeviceTransport.open()) as store:
                await store.write(path, "reached")

    trio.run(write)


ATTEMPTS: Final[dict[str, Callable[[DomId], None]]] = {
    "read RAM": read_ram,
    "write RAM": write_ram,
    "read an HVM parameter": hvm_param,
    "make an ioreq server": ioreq_server,
    "unpause": unpause,
}
NODES: Final = {"write its node data": "data/reached", "write its node hvmloader": "hvmloader/bios"}


if __name__ == "__main__":
    main()
